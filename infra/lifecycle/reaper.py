"""The last net: release what nobody owns any more, and settle runs whose flow has died.

Guards and supervisors release within the lease's time. This finds what even they left: after kill
-9 of all of them, a power cut, a lost ledger. It looks at the machine, not at what should be there.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ebbtide.infra.errors import error_for
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import from_json
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_BIRTH_S = 20.0
"""A run's flow process has this long to sign in."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one round found."""

    clusters: tuple[str, ...]
    """Released now."""
    runs: tuple[str, ...]
    """Ended now, because nobody was left to do it."""


def reap(settings: Settings) -> Reaped:
    """One round. Cheap when there is nothing to do."""
    platform = LocalPlatform(settings)
    ledger = platform.ledger
    orphans = tuple(cluster for cluster in platform.orphans() if not platform.sweep(cluster))
    hanging = tuple(row["id"] for row in ledger.living_clusters() if platform.reap(row["id"]))
    ended = tuple(run for run in lost_runs(ledger) if settle(ledger, run))
    return Reaped((*orphans, *hanging), ended)


def lost_runs(ledger: Ledger) -> tuple[str, ...]:
    """Runs that nobody can end any more: their flow is dead, and no cluster of theirs lives."""
    rows = ledger.rows("SELECT * FROM runs WHERE ended IS NULL")
    return tuple(row["name"] for row in rows if is_lost(ledger, row))


def is_lost(ledger: Ledger, row: sqlite3.Row) -> bool:
    """Whether nobody can end this run, which has not ended, any more. Only looks."""
    born = row["flow_pid"] is not None or wall_s() - row["created"] > _BIRTH_S
    if not born or marks.alive(row["flow_pid"], row["flow_started"]):
        return False
    return not ledger.living_clusters(row["name"])


def settle(ledger: Ledger, run: str, lost: Reason = Reason.FLOW_LOST) -> bool:
    """End a run from what its last cluster saw. Gives whether it was still open.

    Args:
        ledger: where it is written down.
        run: its name.
        lost: why it ended, unless its program had ended before.
    """
    last = ledger.row("SELECT view FROM clusters WHERE run = ? ORDER BY seq DESC LIMIT 1", run)
    view = from_json(ClusterView, last["view"]) if last and last["view"] != "{}" else None
    ours = (Reason.LEASE_LAPSED, Reason.FLOW_LOST)
    if view is None or view.job.ended_at is None or view.job.reason in ours:
        error = error_for(lost)
    else:
        job_error = runs.job_error(view)
        if job_error is None:
            return runs.end(ledger, run, None, 0)
        error = job_error
    return runs.end(ledger, run, error, error.exit_code)
