"""All objects of one cluster, kept current by watches: one set of them a process and cluster.

A run costs a list and a watch a kind; nothing is polled. While the server is away the last snapshot
stays, and ``silent_s`` tells for how long.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    EVENT,
    LEASE,
    POD,
    Kind,
    Object,
)
from ebbtide.infra.platforms.kubernetes.naming import (
    RELEASING,
    driver_name,
    head_name,
    selector,
    workers_name,
)
from ebbtide.infra.platforms.kubernetes.reading.feed import Feed, Listener
from ebbtide.infra.platforms.kubernetes.reading.nodes import autoscalers
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    DRIVER,
    HEAD,
    Snapshot,
    happened,
    holds,
    is_ready,
    leaving,
    of_cluster,
    role,
    state,
)
from ebbtide.infra.waiting import now_s, wall_s

OF_A_CLUSTER = (LEASE, POD, DEPLOYMENT, AUTOSCALER)
OF_A_PROGRAM = (LEASE, POD)
"""A run without a framework has no more."""
_KEPT_EVENTS = 500
_ASK_AGAIN_S = 15.0
"""Status and claims are written a moment after the events, and no event tells when they change."""
_EARLIER_EVENTS_AFTER_S = 2.0
"""Most starts need no explanation, and a namespace in use has thousands of events."""


def look(api: Api, cluster: ClusterId, kinds: Sequence[Kind] = OF_A_CLUSTER) -> Snapshot:
    """A cluster as it is now, asked once: for who only looks, such as ``ebb ps``.

    Args:
        api: of its namespace.
        cluster: its id.
        kinds: what to ask for, each with one question.

    Returns:
        The snapshot; with events where something is pending.

    Raises:
        ApiError: the server does not answer, or refuses.
    """
    found = {kind: api.list(kind, selector(cluster)).items for kind in kinds}
    snapshot = _snapshot(cluster, found, wall_s() + api.ahead_s)
    if not is_pending(snapshot):
        return snapshot
    events = [event for event in api.list(EVENT).items if of_cluster(event, cluster)]
    return _snapshot(cluster, found, wall_s() + api.ahead_s, events=events)


def is_pending(snapshot: Snapshot) -> bool:
    """Whether something of the cluster is not there yet, so that events may say why."""
    if snapshot.releasing:
        return False
    staying = [pod for pod in snapshot.pods if not leaving(pod)]
    if any(not is_ready(pod) and state(pod, "terminated") is None for pod in staying):
        return True
    deployment = snapshot.deployment
    if deployment is None:
        return False
    wanted = int(deployment["spec"].get("replicas") or 0)
    return holds(deployment, "ReplicaFailure") or wanted > len(
        [pod for pod in snapshot.workers if not leaving(pod)]
    )


class Watched:
    """A cluster that is watched. Made by ``watched``; safe for several threads."""

    def __init__(self, api: Api, cluster: ClusterId, kinds: Sequence[Kind] = OF_A_CLUSTER):
        self.cluster = cluster
        self._api, self._kinds = api, tuple(kinds)
        self._news = threading.Condition()
        self._found: dict[Kind, dict[str, Object]] = {}
        self._gone: dict[str, Object] = {}
        self._events: deque[Object] = deque(maxlen=_KEPT_EVENTS)
        self._written = autoscalers.Written()
        self._asks_the_pool = False
        self._again: threading.Timer | None = None
        self._earlier: threading.Timer | None = None
        self._failing: dict[Kind, tuple[float, ApiError]] = {}
        self._version = 0
        self._pending = False
        self._users = 0
        self._feeds = [self._feed(kind) for kind in self._kinds]
        listener = Listener(self._events_listed, self._event, self._ignore, self._explains)
        taker = head_name(cluster) if DEPLOYMENT in kinds else driver_name(cluster)
        first = f"involvedObject.name={taker}"  # it is sent the code when its event says so
        self._event_feed = Feed(api, EVENT, None, listener, listed_fields=first)

    def __enter__(self) -> Watched:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def silent_s(self) -> float:
        """For how long the server has not answered for some kind, in seconds; 0: it does."""
        with self._news:
            since = min((at for at, _ in self._failing.values()), default=None)
        return 0.0 if since is None else now_s() - since

    @property
    def trouble(self) -> ApiError | None:
        """What it answers instead, or that it does not; None when all is well."""
        with self._news:
            return next((error for _, error in self._failing.values()), None)

    def current(self, timeout_s: float = 0.0) -> Snapshot | None:
        """The cluster as last heard of.

        Args:
            timeout_s: for how long to wait for the first answers, in seconds.

        Returns:
            The snapshot; None while not every kind has been listed once.
        """
        with self._news:
            self._news.wait_for(lambda: self._complete, timeout_s)
            return self._now() if self._complete else None

    def changed(self, since: int, timeout_s: float) -> Snapshot | None:
        """Wait until there is something new.

        Args:
            since: the ``version`` of the snapshot that the caller has; -1: none.
            timeout_s: how long at most, in seconds.

        Returns:
            The snapshot then, changed or not; None as for ``current``.
        """
        with self._news:
            self._news.wait_for(lambda: self._complete and self._version > since, timeout_s)
            return self._now() if self._complete else None

    def close(self) -> None:
        """Give it up; the last user ends its watches."""
        with _LOCK:
            self._users -= 1
            if self._users > 0:
                return
            for key in [key for key, each in _SHARED.items() if each is self]:
                del _SHARED[key]
        for timer in (self._again, self._earlier):
            if timer is not None:
                timer.cancel()
        feeds = [*self._feeds, self._event_feed]
        for feed in feeds:
            feed.ask_to_stop()
        for feed in feeds:
            feed.stop()

    def _start(self) -> None:
        for feed in (*self._feeds, self._event_feed):
            feed.start()

    def _take(self) -> None:
        self._users += 1

    @property
    def _complete(self) -> bool:
        return len(self._found) == len(self._kinds)

    def _now(self) -> Snapshot:
        found = {kind: list(things.values()) for kind, things in self._found.items()}
        at = wall_s() + self._api.ahead_s
        made = _snapshot(self.cluster, found, at, self._events, self._written.groups)
        gone = dict(self._gone)
        return replace(made, node_claims=self._written.claims, gone=gone, version=self._version)

    def _feed(self, kind: Kind) -> Feed:
        def listed(things: list[Object]) -> None:
            with self._news:
                self._found[kind] = {thing["metadata"]["name"]: thing for thing in things}
                self._tell()

        def changed(what: str, thing: Object) -> None:
            name = thing["metadata"]["name"]
            with self._news:
                before = self._found[kind].pop(name, None)
                if what != "DELETED":
                    self._found[kind][name] = thing
                elif kind is POD and role(thing) in (HEAD, DRIVER):
                    self._gone[name] = thing
                if kind is not LEASE or what == "DELETED" or _differ(before, thing):
                    self._tell()

        def failed(error: ApiError | None) -> None:
            with self._news:
                if error is None:
                    self._failing.pop(kind, None)
                else:
                    since, _ = self._failing.get(kind, (now_s(), error))
                    self._failing[kind] = since, error

        return Feed(self._api, kind, selector(self.cluster), Listener(listed, changed, failed))

    def _tell(self) -> None:
        """Under the lock: there is something new."""
        self._version += 1
        self._news.notify_all()
        if not self._complete:
            return
        pending = is_pending(self._now())
        if pending != self._pending:
            self._pending = pending
            self._event_feed.look_again()

    def _events_listed(self, events: list[Object]) -> None:
        self._note_events(events)
        self._earlier = _after(_EARLIER_EVENTS_AFTER_S, self._ask_for_earlier_events)

    def _ask_for_earlier_events(self) -> None:
        """Those from before the watch began, where something is pending still."""
        if not self._pending or self._users <= 0:
            return
        try:
            self._note_events(self._api.list(EVENT, patience_s=0.0).items)
        except ApiError:  # they only explain
            return

    def _event(self, what: str, event: Object) -> None:
        if what != "DELETED":
            self._note_events([event])

    def _note_events(self, events: Sequence[Object]) -> None:
        mine = {e["metadata"]["name"]: e for e in events if of_cluster(e, self.cluster)}
        if not mine:
            return
        with self._news:
            others = [each for each in self._events if each["metadata"]["name"] not in mine]
            known = sorted([*others, *mine.values()], key=happened)
            self._events = deque(known, _KEPT_EVENTS)
            self._version += 1
            self._news.notify_all()
        self._ask_the_pool(list(mine.values()))

    def _ask_the_pool(self, events: Sequence[Object]) -> None:
        """What autoscalers' own objects add to their events; many may not read them."""
        if not self._asks_the_pool and autoscalers.is_announced(events):
            self._ask_the_pool_now()

    def _ask_the_pool_now(self) -> None:
        """Now, and again and again while something is pending."""
        self._asks_the_pool = self._pending and self._users > 0
        if not self._asks_the_pool:
            return
        with self._news:
            events, before = list(self._events), self._written
        try:
            found = autoscalers.ask(self._api, events, before)
        except ApiError:  # perhaps it may not be read: it would only explain
            return
        with self._news:
            self._written = found
            if found.differs(before):
                self._version += 1
                self._news.notify_all()
        self._again = _after(_ASK_AGAIN_S, self._ask_the_pool_now)

    def _explains(self) -> bool:
        return self._pending

    def _ignore(self, error: ApiError | None) -> None:
        """Events only explain: without the right to read them, a run goes on."""


def _after(seconds: float, do: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()
    return timer


_LOCK = threading.Lock()
_SHARED: dict[tuple[str, str, str], Watched] = {}


def watched(api: Api, cluster: ClusterId, kinds: Sequence[Kind] = OF_A_CLUSTER) -> Watched:
    """Watch a cluster, or join who watches it in this process already.

    Args:
        api: of its namespace; that of the first who asks is used, and must stay open.
        cluster: its id.
        kinds: what it consists of.

    Returns:
        What every user closes once.
    """
    key = api.server, api.namespace, str(cluster)
    with _LOCK:
        found = _SHARED.get(key)
        if found is None:
            found = _SHARED[key] = Watched(api, cluster, kinds)
            found._start()
        found._take()
    return found


def being_watched(api: Api, cluster: ClusterId) -> Watched | None:
    """Return who watches a cluster in this process already; not for closing. None: nobody."""
    with _LOCK:
        return _SHARED.get((api.server, api.namespace, str(cluster)))


def kinds_of(spec: RunSpec) -> tuple[Kind, ...]:
    """Of what the cluster of a run consists."""
    return OF_A_CLUSTER if spec.cluster.has_workers else OF_A_PROGRAM


def _snapshot(
    cluster: ClusterId,
    found: Mapping[Kind, Sequence[Object]],
    now: float,
    events: Sequence[Object] | deque[Object] = (),
    status: Mapping[str, Any] | None = None,
) -> Snapshot:
    def first(kind: Kind) -> Object | None:
        return next(iter(found.get(kind) or ()), None)

    return Snapshot(
        cluster=cluster,
        now=now,
        lease=first(LEASE),
        pods=tuple(found.get(POD) or ()),
        deployment=next((d for d in found.get(DEPLOYMENT) or () if _is_ours(d, cluster)), None),
        autoscaler=first(AUTOSCALER),
        events=tuple(sorted(events, key=happened)),
        pool_status=status or {},
    )


def _is_ours(deployment: Object, cluster: ClusterId) -> bool:
    """Whether it is that of the workers: Dask's operator makes others."""
    return str(deployment["metadata"]["name"]) == workers_name(cluster)


def _differ(before: Object | None, lease: Object) -> bool:
    """Whether more of a Lease has changed than the time of its renewal."""
    return before is None or _constant(before) != _constant(lease)


def _constant(lease: Object) -> tuple[Any, ...]:
    meta, spec = lease["metadata"], lease.get("spec") or {}
    marks = (meta.get("annotations") or {}).get(RELEASING)
    return meta.get("uid"), meta.get("deletionTimestamp"), marks, spec.get("holderIdentity")
