"""What every store of runs can do, wherever it keeps them. ``infra.records.ledger`` is the first.

Names are reserved atomically, the first end and the first release win, and looking changes nothing.
Where a method must be atomic it says so, and each can be: with a transaction, or with a
compare-and-set of one object that is tried again when another was quicker.

Every method raises EbbError when the store cannot be reached or written (INFRA:LEDGER_UNWRITABLE)
or used at all (LEDGER_NEWER, NO_PERMISSION). A store is not shared between threads: open one each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.orders import Order, Orders
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import (
    NO_LIMITS,
    Cluster,
    Event,
    ProcessRef,
    Registration,
    Reserved,
    Run,
    RunCount,
    RunLimits,
    Share,
)
from ebbtide.infra.models.usage import Sample, Span


class Runs(Protocol):
    """Runs: what was asked for, who drives each, and how it ended."""

    def reserve(self, run: Run, *, pool: str = "", max_waiting: int | None = None) -> Reserved:
        """Write a new run down under its name. Atomic: of two with one name, one has it.

        Args:
            run: a ``created`` of 0 becomes now.
            pool: where it will wait.
            max_waiting: nothing is written when so many runs wait for the pool already; counted in
                the same step. None: any number may.

        Returns:
            Whether the run was written, or why it was not.
        """
        ...

    def run(self, name: RunName) -> Run | None:
        """Return the run of this name; None when there is none."""
        ...

    def run_of(self, key: str) -> Run | None:
        """Return the latest run of the job with this key; None when there is none."""
        ...

    def runs_of(self, key: str) -> list[RunName]:
        """Return the names of all runs of the job with this key, latest first."""
        ...

    def runs_of_flow(self, flow_run_id: str) -> list[RunName]:
        """Return the names of the runs that a Prefect flow run drives, and of those of its jobs."""
        ...

    def runs(self, *, open_only: bool = False) -> list[Run]:
        """Return all runs, or those that have not ended, in the order they were asked for."""
        ...

    def runs_since(self, at: float) -> list[Run]:
        """Return the runs asked for since then (Unix time, seconds), in order."""
        ...

    def run_names(self, beginning: str = "") -> list[RunName]:
        """Return all names, latest first; or ``beginning`` itself and those ``beginning-…``."""
        ...

    def runs_waiting(self, pool: str) -> int:
        """Count the runs that wait for room in a pool, or will and have no cluster yet."""
        ...

    def count_runs(self, since: float) -> RunCount:
        """Count all runs, and those asked for since then (Unix time, seconds)."""
        ...

    def register_flow_process(
        self, run: RunName, flow_process: ProcessRef, flow_run_id: str | None
    ) -> None:
        """Record which process drives the run from now on.

        Args:
            run: its name; of an unknown one nothing is written.
            flow_process: the flow process.
            flow_run_id: Prefect's id of the flow run that it is; None when it is none.
        """
        ...

    def set_key(self, run: RunName, key: str | None) -> None:
        """Set the key that identifies the job of a run; None: it is not found by a key any more."""
        ...

    def set_attempt(self, run: RunName, attempt: int, spec: RunSpec | None = None) -> None:
        """Record which attempt the run has got to.

        Args:
            run: its name.
            attempt: 1 = the first.
            spec: what the run is from now on, on another tier; None: what it was.
        """
        ...

    def set_prefect_url(self, run: RunName, url: str) -> None:
        """Record the URL of the user interface of the Prefect server that records the run."""
        ...

    def set_phase(self, run: RunName, phase: Phase) -> None:
        """Record the phase of a run. Atomic: a run that has ended stays as it is."""
        ...

    def request_stop(self, run: RunName, reason: Reason) -> bool:
        """Ask for the end of a run: no fresh attempt. False when it has ended, or is unknown."""
        ...

    def end_run(
        self, run: RunName, phase: Phase, reason: Reason | None, detail: str, exit_code: int
    ) -> bool:
        """Record how a run ended. Atomic: the first call counts, later ones change nothing.

        Args:
            run: its name.
            phase: Succeeded, Failed or Cancelled.
            reason: why; None when it succeeded.
            detail: one sentence for people; may be empty.
            exit_code: what its process exits with.

        Returns:
            Whether this call was the first.
        """
        ...

    def runs_over(self) -> list[Run]:
        """Return the runs that have ended and hold no cluster any more, the latest end first."""
        ...

    def forget_run(self, run: RunName) -> bool:
        """Delete all records of a run that is over; False when it is not (any more). Atomic."""
        ...


class Clusters(Protocol):
    """Clusters: their leases, what is wanted of each, and what its owner saw last."""

    def add_cluster(
        self,
        cluster: ClusterId,
        run: RunName,
        *,
        attempt: int,
        pool: str,
        lease_s: float,
        limits: RunLimits = NO_LIMITS,
    ) -> None:
        """Add a cluster at the end of its pool's queue. Atomic: added again, nothing changes.

        Args:
            cluster: its id.
            run: whose it is.
            attempt: of the run; 1 = the first.
            pool: where it waits for room.
            lease_s: seconds that it outlives the last renewal.
            limits: what holds it back beside room.
        """
        ...

    def cluster(self, cluster: ClusterId) -> Cluster | None:
        """Return the cluster of this id; None when it was never added, or is forgotten."""
        ...

    def last_cluster(self, run: RunName) -> Cluster | None:
        """Return the latest cluster of a run; None when it has none yet."""
        ...

    def clusters_of(self, run: RunName | None = None) -> list[ClusterId]:
        """Return the ids of all clusters, of one run or all, oldest first; also released ones."""
        ...

    def living_clusters(self, run: RunName | None = None) -> list[Cluster]:
        """Return the clusters, of one run or of all, that are not released yet, oldest first."""
        ...

    def living_with_runs(self) -> list[tuple[Cluster, Run]]:
        """Return the clusters that are not released yet, oldest first, each with its run."""
        ...

    def orders_of(self, key: str) -> list[Orders]:
        """Return the orders to each cluster of the runs of the job with this key."""
        ...

    def order(self, cluster: ClusterId, order: Order) -> None:
        """Tell the cluster's owner what is wanted. Atomic: of two orders at once none is lost."""
        ...

    def write_view(self, view: ClusterView) -> None:
        """Record what the cluster's owner sees now; the view names its cluster."""
        ...

    def renew(self, cluster: ClusterId, lease_s: float | None = None) -> bool:
        """Renew the lease once, and set how long it lasts from now on. Atomic.

        Args:
            cluster: its id.
            lease_s: seconds that it outlives this renewal; None: as long as before.

        Returns:
            False when there is no such living cluster.
        """
        ...

    def mark_released(self, cluster: ClusterId, *, by: str, reason: Reason | None = None) -> bool:
        """Record that nothing of the cluster is left. Atomic: the first call counts.

        Args:
            cluster: its id.
            by: who released it: supervisor, guard, reaper, restore.
            reason: why; None when all went well.

        Returns:
            Whether this call was the first.
        """
        ...

    def shares(self) -> list[Share]:
        """Return all shares of pools: the oldest cluster first, its head before its workers."""
        ...

    def shares_of(self, run: RunName) -> list[str]:
        """Return the owners (``head``, ``worker-0``, …) of the shares of a run's clusters."""
        ...


class Events(Protocol):
    """What happened to runs, in order; appended, never changed."""

    def append(self, *events: Event) -> None:
        """Record what happened, in order. The store sets ids, and times where there are none."""
        ...

    def events(self, run: RunName, after: int = 0) -> list[Event]:
        """Return the events of a run in order, those with an id above ``after``."""
        ...

    def version(self) -> int:
        """Return a number that changes when another process has written; cheap enough to watch."""
        ...


class Usage(Protocol):
    """What clusters held and used."""

    def write_usage(
        self, cluster: ClusterId, spans: Iterable[Span], samples: Sequence[Sample], every: int = 1
    ) -> None:
        """Write spans (new or changed) and new samples, all or nothing.

        Args:
            cluster: whose they are.
            spans: each takes the place of what is known of its owner.
            samples: one of a number that is there already takes its place.
            every: samples whose number is no multiple of this are thinned away.
        """
        ...

    def spans(self, run: RunName) -> list[Span]:
        """Return all shares of a run's clusters, oldest first; none outlasts its cluster."""
        ...

    def samples(self, run: RunName) -> list[Sample]:
        """Return the samples of a run's clusters in order; each cluster counts from 0."""
        ...


class Registrations(Protocol):
    """Which process each Prefect flow run is, so that its death is noticed."""

    def register_process(self, flow_run_id: str, name: str, process: ProcessRef) -> None:
        """Record which process is a flow run from now on; an earlier process no longer is.

        Args:
            flow_run_id: Prefect's id of the flow run.
            name: its name, for people.
            process: the process that executes it.
        """
        ...

    def registered(self) -> list[Registration]:
        """Return all flow runs whose process has not been found dead yet."""
        ...

    def is_registered(self, flow_run_id: str) -> bool:
        """Whether a process has registered as this flow run."""
        ...

    def unregister_process(self, gone: Registration) -> None:
        """Remove a process that is gone. Atomic: one that took the flow run over stays."""
        ...


def is_called(name: RunName, beginning: str) -> bool:
    """Whether a name is ``beginning`` or one of ``beginning-…``; when that is empty all are."""
    return not beginning or f"{name}-".startswith(f"{beginning}-")


class RunStore(Runs, Clusters, Events, Usage, Registrations, Protocol):
    """Everything that a store can do."""

    def check(self) -> None:
        """Read something, so that an error is raised when the store cannot be used."""
        ...

    def catch_up(self) -> None:
        """Let the next reads see all that other processes have written until now.

        A store may be told by others with a short delay; who has learnt in another way that
        somebody is done (its process has ended) asks for this first.
        """
        ...

    def compact(self) -> None:
        """Return the room of forgotten runs to the disk, unless that is in others' way."""
        ...

    def close(self) -> None:
        """Close what is open; the next use opens it again."""
        ...
