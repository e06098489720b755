"""Looks after one cluster from a thread, about once a second and whenever something changes."""

from __future__ import annotations

import contextlib
import logging
import threading

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.records import Cluster
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.clusters.tearing_down import TearDown, tear_down
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import Kind
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from ebbtide.infra.platforms.kubernetes.reading.watching import (
    OF_A_CLUSTER,
    Watched,
    kinds_of,
    watched,
)
from ebbtide.infra.platforms.kubernetes.records.records import run_with
from ebbtide.infra.platforms.kubernetes.tending.care import Care
from ebbtide.infra.platforms.kubernetes.tending.collecting import Collector
from ebbtide.infra.platforms.kubernetes.tending.growth import UsualGrowth
from ebbtide.infra.platforms.kubernetes.tending.teller import Teller
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_PATIENCE_S = 120.0
"""For how long this process waits for the API server: a cluster that runs is not given up before
its pods could be lost. A person who only looks is told sooner."""
_AGAIN_S = 2.0
"""After something that nobody foresaw: the cluster lives on, and is looked after again."""


class Tender:
    """One cluster's."""

    def __init__(self, settings: Settings, cluster: ClusterId):
        self._settings, self._cluster = settings, cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tend {cluster}", daemon=True)
        self._collector: Collector | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; the cluster goes on for as long as its Lease lasts."""
        self._stopped.set()
        self._thread.join()

    def collect(self) -> None:
        """Bring back what the pods have, because they are about to be deleted.

        For the thread that releases, which need not be the tender's own.
        """
        if self._collector is not None:
            self._collector.collect()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._tend()
                return
            except Exception:  # whatever it is: a cluster that nobody looks after is worse
                logger.exception("tending %s goes on in %s s", self._cluster, _AGAIN_S)
                self._stopped.wait(_AGAIN_S)

    def _tend(self) -> None:
        """Until the cluster has been released or this process lets go of it."""
        api = connected(self._settings)
        api.patience_s = _PATIENCE_S
        with (
            contextlib.closing(open_store(self._settings)) as store,
            watched(api, self._cluster, _kinds(store, self._cluster)) as seen,
        ):
            known = self._found(store, seen)
            if known is None or known.released:
                return
            with contextlib.closing(_Work(api, store, self._settings, known)) as work:
                self._collector = work.collector
                version = -1
                while not self._stopped.is_set() and not work.over:
                    snapshot = seen.changed(version, _LOOK_S)
                    if snapshot is not None:
                        version = snapshot.version
                        work.tick(snapshot)

    def _found(self, store: RunStore, seen: Watched) -> Cluster | None:
        """The cluster once it has been declared."""
        version = -1
        while not self._stopped.is_set():
            snapshot = seen.changed(version, _LOOK_S)
            version = snapshot.version if snapshot is not None else -1
            if snapshot is not None and snapshot.lease is not None:
                return store.cluster(self._cluster)
        return None


def _kinds(store: RunStore, cluster: ClusterId) -> tuple[Kind, ...]:
    """Of what it will consist; it need not be declared yet."""
    run = store.run(run_with(cluster))
    return OF_A_CLUSTER if run is None else kinds_of(run.spec)


class _Work:
    """What is done for a cluster that exists."""

    def __init__(self, api: Api, store: RunStore, settings: Settings, known: Cluster):
        run = store.run(known.run)
        assert run is not None
        self._api, self._store, self._known, self._spec = api, store, known, run.spec
        self._reporter = StatusReporter(store, known.run, known.id)
        self._reporter.view = known.last_view
        self._usual = UsualGrowth(store, self._spec.cluster.pool.name)
        self._teller = Teller(self._spec, api.namespace, self._reporter)
        age_s = max(0.0, wall_s() - known.created)
        self._care = Care(api, self._spec, store, self._reporter, age_s=age_s)
        self.collector = Collector(api, settings.run_folder(known.run), self._spec, self._reporter)
        self.over = False
        self._closed = False

    def tick(self, snapshot: Snapshot) -> None:
        """Look at everything once."""
        if snapshot.lease is None:
            self.over = True
            return
        view = self._care.told(self._view(snapshot))
        with self._reporter.together():
            self._teller.tell(view)
        self.collector.tick(snapshot)
        self._care.tick(snapshot, self._reporter.view)
        if view.job.ended_at is not None and not self._closed:
            self._closed = True
            self._care.last_look(snapshot, view)
        if view.job.ended_at is not None and not snapshot.releasing:
            self._release_after_job()

    def _view(self, snapshot: Snapshot) -> ClusterView:
        """With how long a pool that grows usually takes."""
        last, usual = self._reporter.view, self._usual
        view = view_of(snapshot, self._spec, last, usual_growth_s=usual.seconds)
        if usual.learnt(view):
            view = view_of(snapshot, self._spec, last, usual_growth_s=usual.seconds)
        return view

    def close(self) -> None:
        """End what is open."""
        self.collector.tell()
        self._care.close()

    def _release_after_job(self) -> None:
        """The program's end is the cluster's, where that was asked for."""
        with contextlib.suppress(EbbError):
            known = self._store.cluster(self._known.id)
            if known is not None and known.orders.release_after_job and not known.released:
                how = TearDown(reason=None, by="flow", collect=self.collector.collect)
                self.over = tear_down(self._api, self._store, known, how)
