"""The last net: release what nobody owns any more, and settle runs whose flow has died.

Guards and supervisors release within the lease's time. This finds what even they left: after kill
-9 of all of them, a power cut, a lost ledger. It looks at the machine, not at what should be there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ebbtide.infra.errors import error_for
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Cluster, Run
from ebbtide.infra.platforms.base import Platform, load_platforms
from ebbtide.infra.processes.identity import may_live
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
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
