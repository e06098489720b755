"""What is read often is followed: kept current by one watch for all stores of this process.

A viewer and a flow look at their run many times a second. From the second time on such a look costs
no request: it reads what a watch has brought, and what this process has written itself. While the
API server is away what is known stays. Nobody has read it for ten seconds: its watch ends.
Does not belong here: what the objects say.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import Kind, Object
from ebbtide.infra.platforms.kubernetes.reading.feed import Feed, Listener
from ebbtide.infra.waiting import now_s

_OFTEN, _WITHIN_S = 2, 2.0
"""So many reads in so many seconds are often."""
_IDLE_S = 10.0

Key = tuple[int, str, str, str, str]


class Followed:
    """Some objects of one kind. Safe for several threads."""

    def __init__(self, api: Api, kind: Kind, labels: dict[str, str]):
        """Make it; see ``start``."""
        self._lock = threading.Lock()
        self._known: dict[str, Object] = {}
        self._gone: dict[str, str] = {}
        """Uids of what we have deleted ourselves, by name: older news do not bring it back."""
        self._listed_once = self._over = False
        self._read_at_s = now_s()
        self._users: set[int] = set()
        self._stopping = threading.Event()
        self._feed = Feed(api, kind, labels, Listener(self._listed, self._changed, _goes_on))
        self._idle = threading.Thread(target=self._end_when_idle, name="watch-idle", daemon=True)

    @property
    def over(self) -> bool:
        """Whether it is followed no longer."""
        return self._over

    def start(self) -> None:
        """Begin to list and watch."""
        self._feed.start()
        self._idle.start()

    def take(self, user: int) -> None:
        """Note one more user."""
        self._users.add(user)

    def leave(self, user: int) -> None:
        """Note that a user needs it no longer; the last one ends it."""
        self._users.discard(user)
        if not self._users:
            self._end()

    def get(self, name: str) -> tuple[bool, Object | None]:
        """Return whether it is known what there is of this name, and the object."""
        with self._lock:
            self._read_at_s = now_s()
            return self._listed_once and not self._over, self._known.get(name)

    def put(self, thing: Object) -> None:
        """Note what this process has read or written itself, unless something newer is known."""
        with self._lock:
            self._put(thing)

    def drop(self, name: str) -> None:
        """Note that there is nothing of this name, by a question or an order of ours."""
        with self._lock:
            thing = self._known.pop(name, None)
            if thing is not None:
                self._gone[name] = thing["metadata"].get("uid", "")

    def _put(self, thing: Object) -> None:
        name = thing["metadata"]["name"]
        if self._gone.get(name) == thing["metadata"].get("uid", ""):
            return
        before = self._known.get(name)
        if before is None or version_of(thing) >= version_of(before):
            self._known[name] = thing

    def _listed(self, things: list[Object]) -> None:
        with self._lock:
            there = {thing["metadata"]["name"] for thing in things}
            at = int(self._feed.version or 0)
            for name in [name for name in self._known if name not in there]:
                if version_of(self._known[name]) <= at:
                    del self._known[name]
            for thing in things:
                self._put(thing)
            self._listed_once = True

    def _changed(self, what: str, thing: Object) -> None:
        name = thing["metadata"]["name"]
        with self._lock:
            if what != "DELETED":
                self._put(thing)
                return
            self._gone.pop(name, None)
            known = self._known.get(name)
            if known is not None and known["metadata"].get("uid") == thing["metadata"].get("uid"):
                del self._known[name]

    def _end_when_idle(self) -> None:
        left_s = _IDLE_S
        while not self._stopping.wait(left_s):
            with self._lock:
                left_s = self._read_at_s + _IDLE_S - now_s()
            if left_s <= 0:
                self._end()

    def _end(self) -> None:
        with _lock:
            self._over = True
            for key in [key for key, each in _followed.items() if each is self]:
                del _followed[key]
        self._stopping.set()
        self._feed.ask_to_stop()


def followed(
    api: Api, kind: Kind, labels: dict[str, str], name: str, *, read: bool
) -> Followed | None:
    """Return what follows some objects; None while they are not read often.

    Args:
        api: of the namespace.
        kind: of the objects.
        labels: of the objects.
        name: of what they belong to: the same one has the same labels.
        read: whether they are being read now, and not written.

    Returns:
        What all who read them in this process share.
    """
    key = os.getpid(), api.server, api.namespace, kind.plural, name
    with _lock:
        found = _followed.get(key)
        if found is not None or not read or not _is_often(key):
            return found
        found = _followed[key] = Followed(api, kind, labels)
    found.start()
    return found


def version_of(thing: Object) -> int:
    """The version of an object as a number: the later one is the larger one."""
    text = str(thing["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdigit() else 0


_lock = threading.Lock()
_followed: dict[Key, Followed] = {}
_reads: dict[Key, deque[float]] = {}
"""When it was read last; only of what is not followed."""


def _is_often(key: Key) -> bool:
    """Whether this read makes it one that is read often."""
    reads = _reads.setdefault(key, deque(maxlen=_OFTEN))
    reads.append(now_s())
    often = len(reads) == _OFTEN and reads[-1] - reads[0] < _WITHIN_S
    if often:
        del _reads[key]
    return often


def _goes_on(error: ApiError | None) -> None:
    """The server is away, or is there again: what is known stays, and the feed asks on."""
    del error
