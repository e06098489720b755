"""Prefect's picture of our flow runs, put right by what lives on this machine.

A flow run whose process was killed stays Running in Prefect for ever when its worker died too. The
flows register (``flows.prefect_state.registration``), so here one can see who is dead, release what
is left of theirs and say Crashed, or Cancelled where that was asked for.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Completed, Crashed, Failed

from ebbtide.infra.errors import EbbError
from ebbtide.infra.escaping import visible
from ebbtide.infra.installation import rounds
from ebbtide.infra.installation.keeping import keep_to_limits
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.processes.identity import lives, started_ticks
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

_LIVING = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
_LOST = (Reason.FLOW_LOST, Reason.LEASE_LAPSED, Reason.STARTER_LOST)
"""Ends that say of a run what Crashed says of a flow run."""


@dataclass(frozen=True, slots=True)
class Worker:
    """The Prefect worker of a pool, when it is the only one and runs on this machine."""

    pool: str
    began_at: float
    """Unix time in seconds."""


@dataclass(slots=True)
class Reconciled:
    """What one round of the reaper has done."""

    clusters: tuple[str, ...] = ()
    """Released now."""
    runs: tuple[str, ...] = ()
    """Ended now in the ledger."""
    flow_runs: list[str] = field(default_factory=list)
    """Ended now in Prefect, by name."""
    pruned: str = ""
    """What was deleted of ended runs, as a sentence."""

    @property
    def lines(self) -> list[str]:
        """One line for a log for each kind of thing that was found."""
        found = {
            "released": self.clusters,
            "ended runs": self.runs,
            "ended flow runs": self.flow_runs,
        }
        lines = [f"reaper: {what} {', '.join(names)}" for what, names in found.items() if names]
        return [*lines, *([f"reaper: {self.pruned}"] if self.pruned else [])]


def reconcile(settings: Settings, *, worker: Worker | None = None) -> Reconciled:
    """Make one round: release what has no owner, and correct Prefect. Cheap without findings.

    Args:
        settings: of this installation.
        worker: the only one of its work pool; flow runs of the pool that were begun before it was,
            and died before they registered, are found as well. It watches those of its own time.

    Returns:
        What was done.
    """
    reaped = reaper.reap(settings)
    found = Reconciled(reaped.clusters, reaped.runs)
    ledger = open_store(settings).local  # all that are registered are on this machine
    with get_client(sync_client=True) as client:
        for one in ledger.registered():
            if not lives(one.process):
                found.flow_runs += _ended(client, ledger, one.flow_run_id)
                ledger.unregister_process(one)
        for flow_run in _never_started(client, worker) if worker else ():
            if not ledger.is_registered(str(flow_run.id)):
                found.flow_runs += _ended(client, ledger, str(flow_run.id))
    ledger.close()
    try:
        found.pruned = keep_to_limits(settings)
        rounds.note(settings)
    except (EbbError, OSError) as error:  # an ebb.yaml that is being edited: seen in ebb status
        rounds.note(settings, f"nothing is deleted: {error}")
    return found


def finish_records(ledger: RunStore) -> list[str]:
    """Finish what flow processes left open that died after their run had ended.

    Args:
        ledger: of an installation whose own Prefect server this process uses.

    Returns:
        The flow runs ended now in Prefect, by name.
    """
    found = list[str]()
    with get_client(sync_client=True) as client:
        for one in reaper.left_unrecorded(ledger):
            found += _ended(client, ledger, one.flow_run_id)
            ledger.unregister_process(one)
    return found


def _ended(client: SyncPrefectClient, ledger: RunStore, id_: str) -> list[str]:
    """Tell Prefect that the process of a flow run is dead, unless Prefect knows; returns whose."""
    with contextlib.suppress(ObjectNotFound):
        flow_run = client.read_flow_run(UUID(id_))
        if flow_run.state is not None and flow_run.state.type in _LIVING:
            cancelling = flow_run.state.type is StateType.CANCELLING
            state = _last_state(reaper.typed_run(ledger, id_), cancelling=cancelling)
            client.set_flow_run_state(flow_run.id, state)
            return [flow_run.name]
    return []


def _last_state(run: Run | None, *, cancelling: bool) -> State[Any]:
    """Return the state of a flow run whose process is dead: as its run ended, if it had ended."""
    if run is not None and run.phase is Phase.SUCCEEDED:
        return Completed(message="its process ended before it could say so")
    if cancelling or (run is not None and run.phase is Phase.CANCELLED):
        return Cancelled(message="its process has ended")
    if run is not None and run.reason is not None and run.reason not in _LOST:
        return Failed(message=visible(f"{run.reason} {run.detail}"))
    message = f"{Reason.FLOW_LOST}: {Reason.FLOW_LOST.info.sentence}; what it held is released"
    return Crashed(message=message)


def _never_started(client: SyncPrefectClient, worker: Worker) -> list[FlowRun]:
    """List flow runs begun for a worker that is gone, whose process never started."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=_LIVING))
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=state),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[worker.pool])),
    )
    return [
        run
        for run in runs
        if run.state is not None
        and run.state.timestamp.timestamp() < worker.began_at
        and not process_lives(run)
    ]


def process_lives(run: FlowRun) -> bool:
    """Whether the worker's process of a flow run is alive; others' flows do not register."""
    pid = run.infrastructure_pid or ""
    return pid.isdigit() and started_ticks(int(pid)) > 0
