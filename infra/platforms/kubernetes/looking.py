"""What a cluster is now, from the watches of this process or from one look at the API server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters.fencing import judge_anew, judged, namespace_gone
from ebbtide.infra.platforms.kubernetes.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    LEASE,
    POD,
    Kind,
    Object,
)
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from ebbtide.infra.platforms.kubernetes.reading.watching import (
    OF_A_CLUSTER,
    Watched,
    being_watched,
    kinds_of,
    look,
    watched,
)
from ebbtide.infra.platforms.kubernetes.tending.programs.held import is_collected
from ebbtide.infra.platforms.kubernetes.tending.tenders import tender_of
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s, wall_s

_TOLD_S = 2.0
"""So long the tender of this process may take to tell what we have just heard."""
_FIRST_ANSWERS_S = 2.0
"""A watch that has just begun is waited for: asking beside it would be the same questions again."""
_DELETED = (Reason.POD_LOST, Reason.HEAD_LOST)
_IT_GOES = "it is being deleted, with all that is in it"


class Looking:
    """For one thread: it uses a store."""

    def __init__(self, api: Api, store: RunStore, runs: Path):
        self._api, self._store, self._runs = api, store, runs
        self._watched: dict[ClusterId, Watched] = {}
        self._specs: dict[ClusterId, RunSpec] = {}
        self._last: dict[ClusterId, ClusterView] = {}

    def now(self, cluster: ClusterId) -> ClusterView | None:
        """Return a cluster as it is, or was when it was last heard of; None when it is not known.

        Raises:
            ApiError: the API server has not answered for longer than this process has patience, or
                never since it looks.
        """
        outage = self._api.silence.going_on  # a watch may still tell what its token could not ask
        if outage is not None and outage.seconds > self._api.patience_s:
            raise outage.error or ApiError(0, "", "no answer")
        return self._view(cluster, self._snapshot(cluster))

    def until_it_differs(
        self, cluster: ClusterId, seen: ClusterView | None, timeout_s: float
    ) -> ClusterView | None:
        """Wait until a cluster is no longer what has been seen of it; see ``Platform.watch``.

        Args:
            cluster: its id.
            seen: what the caller has seen.
            timeout_s: for how long at most, in seconds.

        Returns:
            What it is then.
        """
        if cluster not in self._watched:
            self._watched[cluster] = watched(self._api, cluster, self._kinds(cluster))
        feed, until_s = self._watched[cluster], now_s() + timeout_s
        snapshot = feed.current(timeout_s)
        while snapshot is not None:
            view = self._view(cluster, snapshot)
            left_s = until_s - now_s()
            if view != seen or left_s <= 0:
                return view
            snapshot = feed.changed(snapshot.version, left_s)
        return self._last.get(cluster) or self._recorded(cluster)

    def expired(self, cluster: ClusterId) -> bool:
        """Whether nobody has renewed its Lease for its duration, since this process looks.

        While the API server is away nobody can, and a watch whose server hangs says nothing: what
        seems to have expired is asked for anew.
        """
        feed, lease = self._feed(cluster), self.lease(cluster)
        if lease is None or not judged(lease):
            return False
        try:
            lease = None if feed is not None and feed.silent_s else self._api.get(LEASE, cluster)
        except ApiError:
            lease = None
        if lease is None:
            judge_anew()
            return False
        return judged(lease)

    def lease(self, cluster: ClusterId) -> Object | None:
        """Return the Lease as it was last heard of, or is; None when there is none."""
        snapshot = self._watching(cluster)
        if snapshot is not None and snapshot.lease is not None:
            return snapshot.lease
        return self._api.get(LEASE, cluster)

    def has(self, cluster: ClusterId, kind: Kind, name: str) -> bool:
        """Whether a watch of this process has told of an object, and its cluster is kept.

        Args:
            cluster: its id.
            kind: of the object.
            name: of the object.

        Returns:
            False also where nothing is watched.
        """
        snapshot = self._watching(cluster)
        if snapshot is None or snapshot.lease is None or snapshot.releasing:
            return False
        there = {POD: snapshot.pods, DEPLOYMENT: (snapshot.deployment,)}
        there[AUTOSCALER] = (snapshot.autoscaler,)
        named = (thing["metadata"]["name"] for thing in there.get(kind, ()) if thing is not None)
        return name in named

    def let_go(self, cluster: ClusterId) -> None:
        """Stop watching a cluster."""
        feed = self._watched.pop(cluster, None)
        if feed is not None:
            feed.close()

    def spec(self, cluster: ClusterId) -> RunSpec | None:
        """Return the spec of a cluster's run; None when that is not known."""
        if cluster not in self._specs:
            known = self._store.cluster(cluster)
            run = self._store.run(known.run) if known is not None else None
            if run is None:
                return None
            self._specs[cluster] = run.spec
        return self._specs[cluster]

    def _snapshot(self, cluster: ClusterId) -> Snapshot:
        heard = self._watching(cluster, _FIRST_ANSWERS_S)
        return heard or look(self._api, cluster, self._kinds(cluster))

    def _kinds(self, cluster: ClusterId) -> tuple[Kind, ...]:
        spec = self.spec(cluster)
        return OF_A_CLUSTER if spec is None else kinds_of(spec)

    def _watching(self, cluster: ClusterId, timeout_s: float = 0.0) -> Snapshot | None:
        """As this process has heard of it; None when it does not watch it, or not yet."""
        feed = self._feed(cluster)
        return feed.current(timeout_s) if feed is not None else None

    def _feed(self, cluster: ClusterId) -> Watched | None:
        return self._watched.get(cluster) or being_watched(self._api, cluster)

    def _view(self, cluster: ClusterId, snapshot: Snapshot) -> ClusterView | None:
        spec = self.spec(cluster) if snapshot.lease is not None else None
        if spec is None:
            self.let_go(cluster)
            return self._recorded(cluster)
        tender = tender_of(cluster) if self._watching(cluster) is not None else None
        told = tender.told(snapshot.version, _TOLD_S) if tender is not None else None
        if told is not None:
            self._last[cluster] = self._blamed(told)
            return self._collected(spec.name, self._last[cluster])
        if cluster not in self._last:
            known = self._store.cluster(cluster)
            self._last[cluster] = known.last_view if known else ClusterView(cluster=cluster)
        self._last[cluster] = self._blamed(view_of(snapshot, spec, self._last[cluster]))
        return self._collected(spec.name, self._last[cluster])

    def _collected(self, run: RunName, view: ClusterView) -> ClusterView:
        """A held cluster's program has ended when what it leaves has been brought here."""
        if not view.programs or tender_of(view.cluster) is None:
            return view
        folder = self._runs / run
        programs = {
            name: program
            if program.ended_at is None or is_collected(folder, view.cluster, name)
            else JobView(started_at=program.started_at)
            for name, program in view.programs.items()
        }
        return replace(view, programs=programs)

    def _blamed(self, view: ClusterView) -> ClusterView:
        """With a pod's loss put down to its namespace, where that is being deleted."""
        failure, job = view.failure, view.job
        lost = {job.reason, failure.reason if failure is not None else None}
        if lost.isdisjoint(_DELETED) or not namespace_gone(self._api):
            return view
        if failure is not None:
            failure = replace(failure, reason=Reason.NAMESPACE_GONE, detail=_IT_GOES)
        if job.reason is not None:
            job = replace(job, reason=Reason.NAMESPACE_GONE, detail=_IT_GOES)
        return replace(view, failure=failure, job=job)

    def _recorded(self, cluster: ClusterId) -> ClusterView | None:
        """What is known of one that has no Lease: not yet, or not any more."""
        if cluster in self._last:
            self._store.catch_up()  # its Lease's end may be known before what was written of it
        known, seen = self._store.cluster(cluster), self._last.get(cluster)
        if known is None or not known.released:
            if seen is None or (known is not None and known.orders.release is not None):
                return known.view if known is not None else None
            if seen.released_at is None:
                gone = namespace_gone(self._api)
                why = Reason.NAMESPACE_GONE if gone else Reason.CLUSTER_DELETED
                seen = replace(seen, released_at=wall_s(), release_reason=why)
                self._last[cluster] = seen
            return seen
        return known.released_view
