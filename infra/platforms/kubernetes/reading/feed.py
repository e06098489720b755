"""One kind of objects, kept current by list and watch in a thread of its own.

It goes on for ever: what the server refuses or does not answer is asked again, with growing pauses.
Does not belong here: what the objects say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import GONE, ApiError
from ebbtide.infra.platforms.kubernetes.client import Hangup
from ebbtide.infra.platforms.kubernetes.kinds import Kind, Object
from ebbtide.infra.waiting import now_s

WATCH_S = 290.0
"""One watch; servers end them after five to ten minutes themselves."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_REFUSED = (401, 403, 404)
_REFUSED_PAUSE_S = 5.0
_SHORT_S = 1.0
"""A watch that ends sooner did not work; asking again at once would be a storm."""
_JOIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told. Called from the feed's thread."""

    listed: Callable[[list[Object]], None]
    """All there are, in place of what was."""
    changed: Callable[[str, Object], None]
    """``ADDED``, ``MODIFIED`` or ``DELETED``, and the object."""
    failed: Callable[[ApiError | None], None]
    """The server does not answer or refuses; None: it answers again."""
    wanted: Callable[[], bool] = field(default=lambda: True)
    """Whether it is to be watched now; see ``Feed.look_again``."""


class Feed:
    """Watches one kind of objects until it is stopped."""

    def __init__(
        self,
        api: Api,
        kind: Kind,
        labels: Mapping[str, str] | None,
        listener: Listener,
        *,
        listed_fields: str = "",
    ):
        """See the class.

        Args:
            api: of the namespace.
            kind: of the objects.
            labels: which of them; None: all.
            listener: who is told.
            listed_fields: a field selector for the list alone: other objects are told of when they
                change.
        """
        self._api, self._kind, self._labels, self._listener = api, kind, labels, listener
        self._listed_fields = listed_fields
        self._hangup = Hangup()
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._version = ""
        self._pause_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.plural}", daemon=True)

    @property
    def version(self) -> str:
        """Of the last list or change; when a list is told, that of the list."""
        return self._version

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def look_again(self) -> None:
        """Ask ``wanted`` again: begin, or end a watch that nobody needs."""
        self._wake.set()
        if not self._listener.wanted():
            self._hangup.hang_up()

    def ask_to_stop(self) -> None:
        """End the watch, without waiting for its thread."""
        self._stopped.set()
        self._wake.set()
        self._hangup.hang_up()

    def stop(self) -> None:
        """End the watch; its thread ends at once, or when a question has had its answer."""
        self.ask_to_stop()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._listener.wanted():
                self._version = ""
                self._wake.wait()
                self._wake.clear()
                continue
            began_s = now_s()
            try:
                self._listen()
                short = now_s() - began_s < _SHORT_S and not self._hangup.done
                self._pause_s = self._longer() if short else 0.0
            except ApiError as error:
                self._handle(error, began_s)
            except Exception as error:  # such as credentials that cannot be renewed now
                self._handle(ApiError(0, type(error).__name__, str(error)), began_s)
            if self._pause_s and self._listener.wanted():
                self._stopped.wait(self._pause_s)

    def _listen(self) -> None:
        """List where nothing is known yet, then follow until the watch ends."""
        self._hangup = Hangup()
        if self._stopped.is_set() or not self._listener.wanted():
            self._hangup.hang_up()
            return
        if not self._version:
            fields = self._listed_fields
            listed = self._api.list(self._kind, self._labels, fields, patience_s=0.0)
            self._version = listed.version
            self._listener.listed(listed.items)
            self._listener.failed(None)
        follow = partial(self._api.watch, self._kind, self._version, labels=self._labels)
        for what, thing in follow(timeout_s=WATCH_S, hangup=self._hangup):
            self._version = str(thing["metadata"]["resourceVersion"])
            if what != "BOOKMARK":
                self._listener.changed(what, thing)
            if self._hangup.done:
                return

    def _handle(self, error: ApiError, began_s: float) -> None:
        if self._hangup.done or self._stopped.is_set():
            self._pause_s = 0.0
            return
        self._version = ""  # a list says that the server answers, and misses nothing
        if now_s() - began_s > _LONGEST_PAUSE_S:
            self._pause_s = 0.0
        if error.status == GONE:
            self._pause_s = self._longer() if self._pause_s else _FIRST_PAUSE_S
            return
        self._listener.failed(error)
        floor_s = _REFUSED_PAUSE_S if error.status in _REFUSED else error.retry_after_s or 0.0
        self._pause_s = max(self._longer(), min(floor_s, _LONGEST_PAUSE_S))

    def _longer(self) -> float:
        return min(_LONGEST_PAUSE_S, 2 * self._pause_s or _FIRST_PAUSE_S)
