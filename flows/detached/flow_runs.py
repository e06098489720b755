"""One flow run of Prefect, made and asked for by plain HTTP. Imports no Prefect."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from ebbtide.flows.prefect_server.api import Api
from ebbtide.flows.service.prefect_http import ask

SCHEDULED, PENDING = "SCHEDULED", "PENDING"
CANCELLED, COMPLETED, FAILED = "CANCELLED", "COMPLETED", "FAILED"
CANCEL = ("CANCELLING", CANCELLED)
"""Somebody wants its end."""
OVER = (CANCELLED, COMPLETED, FAILED, "CRASHED")
_FLOW = "run-job"
"""As ``flows.run_job`` calls it."""


@dataclass(frozen=True, slots=True)
class State:
    """What a flow run is at."""

    type: str
    name: str = ""
    message: str = ""


def create(api: Api, pool: str, run: str, variables: dict[str, Any]) -> str:
    """Make the flow run of a run, for the workers of a work pool.

    Args:
        api: of Prefect's server.
        pool: the work pool's name.
        run: the name of the run; all that the flow run says of it.
        variables: the job variables.

    Returns:
        The flow run's id.

    Raises:
        OSError, ValueError: as ``ask``.
    """
    flow = ask(api, "flows/", {"name": _FLOW})
    now = dt.datetime.now(dt.UTC).isoformat()
    body = {
        "name": run,
        "flow_id": flow["id"],
        "parameters": {"run": run},
        "work_pool_name": pool,
        "job_variables": variables,
        "tags": ["ebb"],
        "state": {
            "type": SCHEDULED,
            "name": "Scheduled",
            "state_details": {"scheduled_time": now},
        },
    }
    return str(ask(api, "flow_runs/", body)["id"])


def state_of(api: Api, id_: str, *, timeout_s: float = 5.0) -> State:
    """What a flow run is at.

    Args:
        api: of Prefect's server.
        id_: of the flow run.
        timeout_s: seconds to wait for the answer.

    Returns:
        Its state.

    Raises:
        OSError, ValueError: as ``ask``.
    """
    found = ask(api, f"flow_runs/{id_}", timeout_s=timeout_s).get("state") or {}
    return State(str(found.get("type")), str(found.get("name")), str(found.get("message") or ""))


def end(api: Api, id_: str, type_: str, message: str) -> None:
    """Say how a flow run has ended, unless it is known.

    Args:
        api: of Prefect's server.
        id_: of the flow run.
        type_: of the state.
        message: why.

    Raises:
        OSError, ValueError: as ``ask``.
    """
    if state_of(api, id_).type not in OVER:
        state = {"type": type_, "name": type_.capitalize(), "message": message}
        ask(api, f"flow_runs/{id_}/set_state", {"state": state, "force": True})
