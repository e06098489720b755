"""Looks after one cluster from a thread, about once a second and whenever something changes."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from ebbtide.infra.errors import EbbError
from ebbtide.infra.files.private import locked, private_folder
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Cluster, EventKind
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, Outage
from ebbtide.infra.platforms.kubernetes.clusters.fencing import (
    claim,
    held_by_another,
    holder_of,
    me,
    resign,
)
from ebbtide.infra.platforms.kubernetes.clusters.tearing_down import TearDown, tear_down
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import Kind
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, node_of, placed
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
from ebbtide.infra.records.opening import open_store, open_to_look
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s, wall_s

logger = logging.getLogger(__name__)

_LOOK_S = 1.0
_LOCK = ".copying.lock"
_PATIENCE_S = 120.0
"""For how long this process waits for the API server: a cluster that runs is not given up before
its pods could be lost. A person who only looks is told sooner."""
_AGAIN_S = 2.0
"""After something that nobody foresaw: the cluster lives on, and is looked after again."""


_Note = Callable[[tuple[int, ClusterView] | None], None]


class Tender:
    """One cluster's."""

    def __init__(self, settings: Settings, cluster: ClusterId):
        self._settings, self._cluster = settings, cluster
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tend {cluster}", daemon=True)
        self._work: _Work | None = None
        self._news = threading.Condition()
        self._told: tuple[int, ClusterView] | None = None
        """What this process tells, as the driver: the version of the snapshot, and its view."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Stop; the cluster goes on for as long as its Lease lasts, or with who comes next."""
        self._stopped.set()
        self._thread.join()
        if self._work is not None and not self._work.over:
            self._work.collector.stop()  # whoever comes next copies, perhaps in this process
            with contextlib.suppress(EbbError, ApiError):
                resign(connected(self._settings), self._cluster)

    def told(self, version: int, timeout_s: float) -> ClusterView | None:
        """Return the view that has been told of a snapshot, so that nobody acts on another one.

        Args:
            version: of the snapshot.
            timeout_s: for how long to wait until it has been looked at, in seconds.

        Returns:
            The view; None when this process does not drive the cluster, or not in time.
        """
        with self._news:
            self._news.wait_for(lambda: self._told is None or self._told[0] >= version, timeout_s)
            known = self._told
        return known[1] if known is not None and known[0] >= version else None

    def _note(self, told: tuple[int, ClusterView] | None) -> None:
        with self._news:
            self._told = told
            self._news.notify_all()

    def collect(self) -> None:
        """Bring back what the pods have, because they are about to be deleted.

        For the thread that releases, which need not be the tender's own.
        """
        if self._work is not None:
            self._work.collector.collect()

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
            with contextlib.closing(_Work(api, store, self._settings, known, self._note)) as work:
                if self._work is not None:  # what it has begun would copy the same once more
                    self._work.collector.stop()
                self._work = work
                version = -1
                while not self._stopped.is_set() and not work.over:
                    work.tell_outage(api.silence.outage)
                    snapshot = seen.changed(version, _LOOK_S)
                    if snapshot is not None:
                        version = snapshot.version
                        work.tick(snapshot)
            self._note(None)

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
    """What is done for a cluster that exists: by its Lease's holder all, by another what it shows.

    Whoever follows copies the program's output to this machine, where nobody else does, and tells
    nothing. One that has held the Lease and lost it leaves also that alone.
    """

    def __init__(self, api: Api, store: RunStore, settings: Settings, known: Cluster, note: _Note):
        self._note = note
        run = store.run(known.run)
        assert run is not None
        self._api, self._store, self._known, self._spec = api, store, known, run.spec
        self._folder = private_folder(settings.home, "runs", known.run)
        self._reporter = StatusReporter(store, known.run, known.id)
        self._reporter.view = known.last_view
        self._past = open_to_look(settings)  # it lists runs with all that is in them
        self._usual = UsualGrowth(self._past, self._spec.cluster.pool.name)
        self._teller = Teller(self._spec, api.namespace, self._reporter)
        self._care: Care | None = None
        self._lost, self._outage_s = False, now_s()
        self._alone = contextlib.ExitStack()
        self._is_alone = False
        self.collector = Collector(api, self._folder, self._spec, self._reporter)
        self.over = False
        self._closed = False

    def tick(self, snapshot: Snapshot) -> None:
        """Look at everything once."""
        if snapshot.lease is None:
            self.over = True
        elif holder_of(snapshot.lease) == me():
            self._drive(snapshot)
        elif held_by_another(snapshot.lease):
            self._follow(snapshot)
        else:
            with contextlib.suppress(ApiError):
                claim(self._api, self._known.id)  # its change is the next snapshot

    def tell_outage(self, outage: Outage | None) -> None:
        """Say once of each time without the API server that it was there."""
        if outage is None or self._care is None or outage.began_s <= self._outage_s:
            return
        self._outage_s = outage.began_s
        does = "take our credentials" if outage.refused else "answer"
        taken = "taken our credentials" if outage.refused else "answered"
        has = f"did not {does}" if outage.over else f"has not {taken}"
        goes = "went" if outage.over else "goes"
        message = f"the API server {has} for {outage.seconds:.0f} s; the program {goes} on"
        if self._reporter.view.job.started_at is None:
            message = message.replace("the program", "the cluster")
        reason = Reason.NO_RIGHTS if outage.refused else Reason.API_UNREACHABLE
        self._reporter.event(EventKind.WARNING, message, reason=reason)

    def close(self) -> None:
        """End what is open, and let another process take the cluster over, if it goes on."""
        if self._care is not None:
            self.collector.tell()
            self._care.close()
        self._alone.close()

    def _drive(self, snapshot: Snapshot) -> None:
        care = self._care or self._taken_over()
        self._is_alone = self._is_alone or self._has_folder()
        view = care.told(snapshot, self._view(snapshot))
        with self._reporter.together():
            self._teller.tell(view, len({node_of(pod) for pod in snapshot.pods if placed(pod)}))
        self._note((snapshot.version, self._reporter.view))
        self.collector.tick(snapshot)
        care.tick(snapshot, self._reporter.view)
        if view.job.ended_at is not None and not self._closed:
            self._closed = True
            care.last_look(snapshot, view)
        if view.job.ended_at is not None and not snapshot.releasing:
            self._release_after_job()

    def _taken_over(self) -> Care:
        """Begin where whoever drove it before has stopped to tell."""
        if self._lost:
            self.collector = Collector(self._api, self._folder, self._spec, self._reporter)
        known = self._store.cluster(self._known.id) or self._known
        self._reporter.view = known.last_view
        age_s = max(0.0, wall_s() - known.created)
        self._care = Care(self._api, self._spec, self._store, self._reporter, age_s=age_s)
        return self._care

    def _follow(self, snapshot: Snapshot) -> None:
        self._note(None)
        if self._care is not None:
            self._care.close()
            self._care, self._lost = None, True
            self.collector.stop()
        self._is_alone = self._is_alone or self._has_folder()
        if self._lost or not self._is_alone:
            return
        self._reporter.view = view = self._view(snapshot)
        self.collector.tick(snapshot, sends=False)
        if view.job.ended_at is not None:
            self.collector.collect()

    def _has_folder(self) -> bool:
        """Whether no other process copies to it; one that drives copies even so."""
        self._alone.close()
        return self._alone.enter_context(locked(self._folder / _LOCK, wait=False))

    def _view(self, snapshot: Snapshot) -> ClusterView:
        """With how long a pool that grows usually takes."""
        last, usual = self._reporter.view, self._usual
        view = view_of(snapshot, self._spec, last, usual_growth_s=usual.seconds)
        if usual.learnt(view):
            view = view_of(snapshot, self._spec, last, usual_growth_s=usual.seconds)
        return view

    def _release_after_job(self) -> None:
        """The program's end is the cluster's, where that was asked for."""
        with contextlib.suppress(EbbError):
            known = self._store.cluster(self._known.id)
            if known is not None and known.orders.release_after_job and not known.released:
                how = TearDown(reason=None, by="flow", collect=self.collector.collect)
                self.over = tear_down(self._api, self._store, known, how)
