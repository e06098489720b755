"""Prefect's picture of our flow runs, put right by what lives on this machine.

A flow run whose process was killed stays Running in Prefect for ever when its worker died too. The
flows register (``flows.prefect_state.registration``), so here one can see who is dead, release what
is left of theirs and say Crashed, or Cancelled where that was asked for.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Crashed

from ebbtide.infra.errors import EbbError
from ebbtide.infra.installation import rounds
from ebbtide.infra.installation.keeping import keep_to_limits
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings

_LIVING = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


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
    store = open_store(settings)
    with get_client(sync_client=True) as client:
        for one in store.registered():
            if not marks.lives(one.process):
                _end(client, one.flow_run_id, found)
                store.unregister_process(one)
        for flow_run in _never_started(client, worker) if worker else ():
            if not store.is_registered(str(flow_run.id)):
                _end(client, str(flow_run.id), found)
    store.close()
    try:
        found.pruned = keep_to_limits(settings)
        rounds.note(settings)
    except (EbbError, OSError) as error:  # an ebb.yaml that is being edited: seen in ebb status
        rounds.note(settings, f"nothing is deleted: {error}")
    return found


def _end(client: SyncPrefectClient, id_: str, found: Reconciled) -> None:
    """Tell Prefect that the process of a flow run is dead, unless Prefect knows."""
    with contextlib.suppress(ObjectNotFound):
        flow_run = client.read_flow_run(UUID(id_))
        if flow_run.state is None or flow_run.state.type not in _LIVING:
            return
        if flow_run.state.type is StateType.CANCELLING:
            client.set_flow_run_state(flow_run.id, Cancelled(message="its process has ended"))
        else:
            message = (
                f"{Reason.FLOW_LOST}: {Reason.FLOW_LOST.info.sentence}; what it held is released"
            )
            client.set_flow_run_state(flow_run.id, Crashed(message=message))
        found.flow_runs.append(flow_run.name)


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
    return pid.isdigit() and marks.started_ticks(int(pid)) > 0
