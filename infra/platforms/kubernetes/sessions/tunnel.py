"""A port of loopback that leads to a head through the API server, and heals when that breaks.

A program that is connected to it does not notice a link that breaks: what it has said and not been
heard goes on by the next one (``inside.tunnel``). Who comes is let in by what listens in the pod.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable
from typing import Any

from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.inside.tunnel.channel import (
    ID_BYTES,
    KEEP_S,
    Channel,
    Hello,
    shut,
)
from ebbtide.infra.platforms.kubernetes.tending.forwarding import LOOPBACK, Connect, opened
from ebbtide.infra.waiting import now_s

_AGAIN_S = 0.5


class Tunnel:
    """Listens from the start, in threads of its own, until it is closed."""

    def __init__(self, connect: Connect, healed: Callable[[], None], *, keep_s: float = KEEP_S):
        """Listen on loopback.

        Args:
            connect: opens one link to the far end.
            healed: called when a connection goes on after a break.
            keep_s: how long a connection waits for its next link, in seconds.
        """
        self._connect, self._healed, self._keep_s = connect, healed, keep_s
        self._closed = threading.Event()
        self._channels: set[Channel] = set()
        self._listening = socket.create_server((LOOPBACK, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name=f"tunnel {self.port}", daemon=True).start()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        self._closed.set()
        shut(self._listening)
        for channel in tuple(self._channels):
            channel.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                threading.Thread(target=self._lead, args=(near,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        channel = Channel(near)
        self._channels.add(channel)
        id_, new, seen_s = secrets.token_bytes(ID_BYTES), True, now_s()
        while not self._closed.is_set() and now_s() - seen_s < self._keep_s:
            link = self._link()
            if link is not None:
                if not new:
                    self._healed()
                with contextlib.suppress(OSError):
                    if not channel.dialled(link, Hello(id_, new, 0)):
                        channel.close()
                    new, seen_s = False, now_s()
                shut(link)
            if channel.over or (new and channel.idle):
                break
            self._closed.wait(_AGAIN_S)
        channel.close()
        self._channels.discard(channel)

    def _link(self) -> Any:
        """A link to the far end; None: there is none now."""
        try:
            return opened(self._connect)
        except ApiError:
            return None
