"""The last net: release what nobody owns any more, and settle runs whose flow has died.

Guards and supervisors release within the lease's time. This finds what even they left: after kill
-9 of all of them, a power cut, a lost ledger. It looks at the machine, not at what should be there.

And which records in Prefect nobody is left to finish: a flow process may outlive its run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Cluster, EventKind, Registration, Run
from ebbtide.infra.platforms.base import Platform, load_platforms
from ebbtide.infra.processes.identity import lives, may_live, this_process
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_BIRTH_S = 20.0
"""A run's flow process has this long to sign in."""
UNRECORDED = "not recorded in Prefect: "
"""Begins what a run is told whose flow process could not use Prefect."""
_HERE = "local"
_LONGEST_RECORDING_S = 1800.0
"""A run that ended longer ago is in nobody's hands any more."""


@dataclass(frozen=True, slots=True)
class Reaped:
    """What one round found."""

    clusters: tuple[str, ...]
    """Released now."""
    runs: tuple[str, ...]
    """Ended now, because nobody was left to do it."""


def reap(settings: Settings) -> Reaped:
    """One round. Cheap when there is nothing to do."""
    store = open_store(settings)
    released: list[ClusterId] = []
    living = store.living_with_runs()  # a platform that does not answer keeps nothing here undone
    for platform in load_platforms(settings, store):
        released += [cluster for cluster in platform.orphans() if not platform.sweep(cluster)]
        released += _hanging(living, platform)
    ended = tuple(run for run in lost_runs(store) if settle(store, run))
    store.close()
    return Reaped(tuple(released), ended)


def _hanging(living: Iterable[tuple[Cluster, Run]], platform: Platform) -> list[ClusterId]:
    """Clusters of the platform that had an owner who does not do what it was told; released now."""
    return [
        cluster.id
        for cluster, run in living
        if run.spec.platform == platform.name and platform.reap(cluster.id)
    ]


def unowned(settings: Settings, store: RunStore) -> tuple[str, ...]:
    """Clusters and runs without a living owner. Only looks.

    Args:
        settings: of this installation.
        store: of its records.

    Returns:
        Their names. A platform that does not answer hides nothing of the others.
    """
    lost = lost_runs(store)  # the store is asked first: who does not answer is known then
    platforms = load_platforms(settings, store)
    return (*(cluster for platform in platforms for cluster in platform.orphans()), *lost)


def lost_runs(ledger: RunStore) -> tuple[RunName, ...]:
    """Runs that nobody can end any more: their flow is dead, and no cluster of theirs lives."""
    return tuple(run.name for run in ledger.runs(open_only=True) if is_lost(ledger, run))


def is_lost(ledger: RunStore, run: Run) -> bool:
    """Whether nobody can end this run, which has not ended, any more. Only looks."""
    born = run.flow_process is not None or wall_s() - run.created > _BIRTH_S
    if not born or may_live(run.flow_process):
        return False
    return not ledger.living_clusters(run.name)


def settle(ledger: RunStore, run: RunName, lost: Reason = Reason.FLOW_LOST) -> bool:
    """End a run that is still open from what its last cluster saw.

    Args:
        ledger: where it is written down.
        run: its name.
        lost: why it ended, unless its program had ended before.

    Returns:
        Whether the run was still open.
    """
    last = ledger.last_cluster(run)
    view = last.view if last is not None else None
    ours = (Reason.LEASE_LAPSED, Reason.FLOW_LOST)
    if view is None or view.job.ended_at is None or view.job.reason in ours:
        error = error_for(lost)
    else:
        job_error = runs.job_error(view)
        if job_error is None:
            return runs.end(ledger, run, None, 0)
        error = job_error
    return runs.end(ledger, run, error, error.exit_code)


def being_recorded(ledger: RunStore) -> tuple[Run, ...]:
    """Runs that have ended, and whose flow process lives: it finishes their record in Prefect."""
    since = wall_s() - _LONGEST_RECORDING_S
    recent = takewhile(lambda run: (run.ended or 0.0) >= since, ledger.runs_over())
    return tuple(run for run in recent if lives(run.flow_process))


def typed_run(ledger: RunStore, flow_run_id: str) -> Run | None:
    """Return the run of ``ebb run`` that a flow run records; None for any other flow run.

    The runs of other flows have keys, as they are asked for again when their flow is run again.
    """
    found = (ledger.run(name) for name in ledger.runs_of_flow(flow_run_id))
    return next((run for run in found if run is not None and run.key is None), None)


def sign_off(ledger: RunStore) -> None:
    """Note that Prefect knows the end of this process's flow run, which nobody has to finish."""
    me = this_process()
    with contextlib.suppress(EbbError):  # then the next round finds that Prefect knows
        for one in ledger.registered():
            if one.process == me:
                ledger.unregister_process(one)


def never_recorded(ledger: RunStore) -> tuple[RunName, ...]:
    """Runs that ended a while ago, and whose flow process died before it began to tell Prefect.

    Only runs of ``ebb run`` on this machine, which its own Prefect server was to record.
    """
    since = wall_s() - _LONGEST_RECORDING_S
    recent = takewhile(lambda run: (run.ended or 0.0) >= since, ledger.runs_over())
    return tuple(run.name for run in recent if _is_to_be_recorded(ledger, run))


def _is_to_be_recorded(ledger: RunStore, run: Run) -> bool:
    """Whether a flow may still record it that finds all done: there was one cluster, and it went.

    Where Prefect could not be used, the flow process has said so, and it is left at that.
    """
    if run.prefect_url is None or run.key is not None or run.flow_run_id is not None:
        return False
    if may_live(run.flow_process) or run.spec.platform != _HERE:
        return False
    last, told = ledger.last_cluster(run.name), ledger.events(run.name)
    if last is None or not last.released:
        return False
    return not any(
        event.kind is EventKind.ATTEMPT or event.message.startswith(UNRECORDED) for event in told
    )


def left_unrecorded(ledger: RunStore) -> tuple[Registration, ...]:
    """Flow runs of ``ebb run`` whose run has ended, and whose process died before it told Prefect.

    Only those that the Prefect server of this machine records.
    """
    found = []
    for one in ledger.registered():
        run = None if lives(one.process) else typed_run(ledger, one.flow_run_id)
        if run is not None and run.over and run.prefect_url:
            found.append(one)
    return tuple(found)
