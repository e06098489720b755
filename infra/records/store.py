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
    """What was asked for, who drives it, and how it ended."""

    def reserve(self, run: Run, *, pool: str = "", max_waiting: int | None = None) -> Reserved:
        """Write a new run down under its name. Atomic: of two with one name, one has it.

        Args:
            run: a ``created`` of 0 becomes now.
            pool: where it will wait.
            max_waiting: nothing is written when so many runs wait for the pool already; counted in
                the same step. None: any number may.
        """
        ...

    def run(self, name: RunName) -> Run | None:
        """The run of this name; None when there is none."""
        ...

    def run_of(self, key: str) -> Run | None:
        """The latest run of the job that this key tells apart; None when there is none."""
        ...

    def runs_of(self, key: str) -> list[RunName]:
        """The names of all runs of the job that this key tells apart, latest first."""
        ...

    def runs_of_flow(self, flow_run_id: str) -> list[RunName]:
        """The names of the runs that a Prefect flow run drives, and of those of its jobs."""
        ...

    def runs(self, *, open_only: bool = False) -> list[Run]:
        """All of them, or those that have not ended, in the order they were asked for."""
        ...

    def runs_since(self, at: float) -> list[Run]:
        """Those that were asked for since then (Unix time, seconds), in order."""
        ...

    def run_names(self, beginning: str = "") -> list[RunName]:
        """All names, latest first; or only ``beginning`` itself and those ``beginning-…``."""
        ...

    def runs_waiting(self, pool: str) -> int:
        """Runs that wait for room in a pool, and those that have no cluster yet but soon will."""
        ...

    def count_runs(self, since: float) -> RunCount:
        """How many there are, and how many of them since then (Unix time, seconds)."""
        ...

    def register_flow_process(
        self, run: RunName, flow_process: ProcessRef, flow_run_id: str | None
    ) -> None:
        """The process that drives the run from now on.

        Args:
            run: its name; of an unknown one nothing is written.
            flow_process: the flow process.
            flow_run_id: Prefect's id of the flow run that it is; None when it is none.
        """
        ...

    def set_key(self, run: RunName, key: str | None) -> None:
        """What its job is told apart by from now on; None: it is not found by a key any more."""
        ...

    def set_attempt(self, run: RunName, attempt: int) -> None:
        """The attempt it has got to; 1 = the first."""
        ...

    def set_prefect_url(self, run: RunName, url: str) -> None:
        """Where the user interface of the Prefect server is that records it."""
        ...

    def set_phase(self, run: RunName, phase: Phase) -> None:
        """What it is at. A run that has ended stays as it is: atomic."""
        ...

    def request_stop(self, run: RunName, reason: Reason) -> bool:
        """Ask for its end: no fresh attempt from now on. False when it has ended, or is unknown."""
        ...

    def end_run(
        self, run: RunName, phase: Phase, reason: Reason | None, detail: str, exit_code: int
    ) -> bool:
        """Record how it ended. Atomic: the first to say so is believed.

        Returns:
            Whether that was the caller.
        """
        ...

    def runs_over(self) -> list[Run]:
        """Those that have ended and hold no cluster any more, the latest end first."""
        ...

    def forget_run(self, run: RunName) -> bool:
        """Forget all about a run that is over; False when it is not (any more). Atomic."""
        ...


class Clusters(Protocol):
    """Leases, what is wanted of each cluster, and what its owner saw last."""

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
        """A new cluster at the end of its pool's queue. Adding it again changes nothing: atomic.

        Args:
            cluster: its id.
            run: whose it is.
            attempt: of the run; 1 = the first.
            pool: where it waits for room.
            lease_s: how long it outlives the last renewal.
            limits: what holds it back beside room.
        """
        ...

    def cluster(self, cluster: ClusterId) -> Cluster | None:
        """The cluster of this id; None when it was never added, or is forgotten."""
        ...

    def last_cluster(self, run: RunName) -> Cluster | None:
        """The latest cluster of a run; None when it has none yet."""
        ...

    def clusters_of(self, run: RunName | None = None) -> list[ClusterId]:
        """The ids of all clusters of a run, or of all runs, oldest first; also released ones."""
        ...

    def living_clusters(self, run: RunName | None = None) -> list[Cluster]:
        """Clusters, of one run or of all, that are not released yet, oldest first."""
        ...

    def living_with_runs(self) -> list[tuple[Cluster, Run]]:
        """Clusters that are not released yet, oldest first, each with its run."""
        ...

    def orders_of(self, key: str) -> list[Orders]:
        """The orders to each cluster of the runs of the job that this key tells apart."""
        ...

    def order(self, cluster: ClusterId, order: Order) -> None:
        """Tell the cluster's owner what is wanted. Atomic: of two at once none is lost."""
        ...

    def write_view(self, view: ClusterView) -> None:
        """What the cluster's owner sees now; it names its cluster."""
        ...

    def renew(self, cluster: ClusterId) -> bool:
        """One heartbeat of the lease; False when there is no such living cluster."""
        ...

    def extend_lease(self, cluster: ClusterId, lease_s: float, order: Order | None = None) -> bool:
        """A heartbeat that says how long the lease lasts from now on. Atomic.

        Args:
            cluster: its id.
            lease_s: how long it outlives this renewal.
            order: given with it.

        Returns:
            False when there is no such living cluster.
        """
        ...

    def mark_released(self, cluster: ClusterId, *, by: str, reason: Reason | None = None) -> bool:
        """Record that nothing of the cluster is left. Atomic: the first to say so is believed.

        Returns:
            Whether that was the caller.
        """
        ...

    def shares(self) -> list[Share]:
        """All shares of pools: the oldest cluster first, its head before its workers."""
        ...

    def shares_of(self, run: RunName) -> list[str]:
        """The owners (``head``, ``worker-0``, …) of the shares that a run's clusters hold."""
        ...


class Events(Protocol):
    """What happened, in order; appended, never changed."""

    def append(self, event: Event) -> None:
        """Record that something happened. Its id is given here, and its time where it has none."""
        ...

    def events(self, run: RunName, after: int = 0) -> list[Event]:
        """Events of a run in order, those with an id above ``after``."""
        ...

    def version(self) -> int:
        """A number that changes when another process has written; cheap enough to watch."""
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
        """All shares of a run's clusters, oldest first; none lasts longer than its cluster."""
        ...

    def samples(self, run: RunName) -> list[Sample]:
        """The samples of a run's clusters, in order. A cluster after the first begins at 0."""
        ...


class Registrations(Protocol):
    """Prefect flow runs that have said where they run, so that their death is noticed."""

    def register_process(self, flow_run_id: str, name: str, process: ProcessRef) -> None:
        """This process is the flow run, from now on, and none before it any more."""
        ...

    def registered(self) -> list[Registration]:
        """All flow runs whose process has not been found dead yet."""
        ...

    def is_registered(self, flow_run_id: str) -> bool:
        """Whether this flow run has said where it runs."""
        ...

    def unregister_process(self, gone: Registration) -> None:
        """That process is gone; one that has taken the flow run over since stays: atomic."""
        ...


class RunStore(Runs, Clusters, Events, Usage, Registrations, Protocol):
    """All of it."""

    def check(self) -> None:
        """Read something: raises when the store cannot be used."""
        ...

    def compact(self) -> None:
        """Give back the room of what was forgotten; another time where that is in others' way."""
        ...

    def close(self) -> None:
        """Let go of what is open; the next use opens it again."""
        ...
