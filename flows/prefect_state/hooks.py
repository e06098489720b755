"""What Prefect calls when a flow run was cancelled, crashed or failed: a net below tear_down.

Prefect calls hooks by keyword, and after a cancel or a crash in another process than the flow's.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.lifecycle.stop import is_driven_elsewhere, stop_run
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import wait_until

_RELEASE_TIMEOUT_S = 25.0


def release(flow: Any, flow_run: Any, state: Any) -> None:  # noqa: ARG001  Prefect's names
    """Release what the runs of a flow run, and those of its jobs, still hold, and end those runs.

    Usually there is nothing left to do, and a run that another process has taken over goes on.
    Prefect passes all arguments by these names.

    Args:
        flow: not used.
        flow_run: Prefect's flow run; its runs are found by its id.
        state: its new state; tells a cancelled flow run from one whose process died.
    """
    settings = load_settings()
    store = open_store(settings)
    reason = Reason.CANCELLED if state.is_cancelled() or state.is_cancelling() else Reason.FLOW_LOST
    names = store.runs_of_flow(str(flow_run.id))
    if reason is Reason.FLOW_LOST:
        names = [run for run in names if not is_driven_elsewhere(settings, store, run)]
    living = [run for run in names if store.living_clusters(run)]
    for run in living:
        stop_run(settings, run, reason)
    for run in living:
        wait_until(partial(_released, store, run), timeout_s=_RELEASE_TIMEOUT_S)
    for run in names:
        reaper.settle(store, run, reason)


def _released(store: RunStore, run: RunName) -> bool:
    return not store.living_clusters(run)
