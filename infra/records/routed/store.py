"""The routed store, put together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Event, ProcessRef, Registration
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.records.routed.clusters import RoutedClusters
from ebbtide.infra.records.routed.runs import RoutedRuns
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s

_VERSION_EVERY_S = 1.0


class RoutedStore(RoutedRuns, RoutedClusters):
    """Each run where it was reserved, and lists of both stores.

    See ``infra.records.store.Usage``. See ``infra.records.store.Registrations``. While nobody uses
    another store, all is the local one's.
    """

    _version, _version_at = 0, 0.0

    def append(self, *events: Event) -> None:
        """Record what happened, all of it to one run."""
        if events:
            self.of_run(events[0].run).append(*events)

    def events(self, run: RunName, after: int = 0) -> list[Event]:
        """Events of a run in order, those with an id above ``after``."""
        return self.of_run(run).events(run, after)

    def version(self) -> int:
        """Return a number that changes when either is written; the other is asked once a second."""
        if now_s() - self._version_at >= _VERSION_EVERY_S:
            self._version = self.ask_elsewhere(lambda store: store.version(), self._version)
            self._version_at = now_s()
        return self.local.version() ^ self._version

    def write_usage(
        self, cluster: ClusterId, spans: Iterable[Span], samples: Sequence[Sample], every: int = 1
    ) -> None:
        """Write spans and samples where the cluster is."""
        self.of_cluster(cluster).write_usage(cluster, spans, samples, every)

    def spans(self, run: RunName) -> list[Span]:
        """Return all shares of a run's clusters, oldest first; none outlasts its cluster."""
        return self.of_run(run).spans(run)

    def samples(self, run: RunName) -> list[Sample]:
        """Return the samples of a run's clusters in order; each cluster counts from 0."""
        return self.of_run(run).samples(run)

    def register_process(self, flow_run_id: str, name: str, process: ProcessRef) -> None:
        """Record which process is the flow run from now on: this machine's business."""
        self.local.register_process(flow_run_id, name, process)

    def registered(self) -> list[Registration]:
        """Return all flow runs of this machine whose process has not been found dead yet."""
        return self.local.registered()

    def is_registered(self, flow_run_id: str) -> bool:
        """Whether this flow run has said that it runs on this machine."""
        return self.local.is_registered(flow_run_id)

    def unregister_process(self, gone: Registration) -> None:
        """Remove a process that is gone; one that took the flow run over stays."""
        self.local.unregister_process(gone)

    def check(self) -> None:
        """Read something of this machine's store."""
        self.local.check()

    def catch_up(self) -> None:
        """Let the next reads see all that others have written."""
        if self._elsewhere is not None:
            self._elsewhere.catch_up()

    def compact(self) -> None:
        """Return the room of forgotten runs to this machine's disk."""
        self.local.compact()

    def close(self) -> None:
        """Close what is open; the next use opens it again."""
        self.local.close()
        if self._elsewhere is not None:
            self._elsewhere.close()


def away_from(store: RunStore | None) -> str:
    """Return the platform that did not answer a store when it was last asked; else empty."""
    return store.away if isinstance(store, RoutedStore) else ""


def local_half(store: RunStore | None) -> RunStore | None:
    """Return the part of a store that has this machine's records, for who needs nothing else."""
    return store.local if isinstance(store, RoutedStore) else store
