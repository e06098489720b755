"""How long our Prefect servers keep what has ended: Prefect's own clearing, switched on.

Without it prefect.db grows by 0.2 to 0.3 MiB a run for ever. What has been deleted makes room for
what comes, so the file stops growing rather than shrinks. (Events go after a week, by default.)
"""

from __future__ import annotations

from collections.abc import Mapping

_DAY_S = 86_400

KEEP_FLOW_RUNS_S = 30 * _DAY_S

_RETENTION = {
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(KEEP_FLOW_RUNS_S),
}


def retention(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for a server of ours; those that are set already stay as they are."""
    return {name: environ.get(name) or value for name, value in _RETENTION.items()}
