"""The end of tunnels that is beside the head, in the container ``files`` of its pod.

It listens on loopback, to which only a port-forward comes; what it leads to wants the cluster's
keys as ever.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Any

from ebbtide.infra.platforms.kubernetes.inside.tunnel.channel import (
    KEEP_S,
    Channel,
    Hello,
    heard,
    refuse,
    shut,
)

LOOPBACK = "127.0.0.1"
_CONNECT_S = 10.0


class Far:
    """Listens from the start, in threads of its own."""

    def __init__(self, port: int, to: int, *, keep_s: float = KEEP_S):
        """Listen.

        Args:
            port: of loopback; 0: any that is free.
            to: the port of loopback that connections are led to.
            keep_s: how long a connection waits for its next link, in seconds.

        Raises:
            OSError: the port is taken.
        """
        self._to, self._keep_s = to, keep_s
        self._channels: dict[bytes, tuple[Channel, int]] = {}
        """Each with the number of links that it has had."""
        self._lock = threading.Lock()
        self._listening = socket.create_server((LOOPBACK, port))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name="tunnels", daemon=True).start()

    def close(self) -> None:
        """Listen no more, and end all."""
        shut(self._listening)
        for channel, _ in tuple(self._channels.values()):
            channel.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                link, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: Any) -> None:
        with contextlib.suppress(OSError):
            hello = heard(link)
            channel, number = self._found(hello)
            if channel is None:
                refuse(link)
                return
            with contextlib.suppress(OSError):
                channel.answered(link, hello)
            if channel.over:
                self._forget(hello.id, number)
            else:
                late = threading.Timer(self._keep_s, self._forget, (hello.id, number))
                late.daemon = True
                late.start()
        shut(link)

    def _found(self, hello: Hello) -> tuple[Channel | None, int]:
        with self._lock:
            channel, links = self._channels.get(hello.id, (None, 0))
            if channel is None and hello.new:
                head = socket.create_connection((LOOPBACK, self._to), _CONNECT_S)
                head.settimeout(None)
                channel = Channel(head)
            if channel is not None:
                self._channels[hello.id] = channel, links + 1
            return channel, links + 1

    def _forget(self, id_: bytes, number: int) -> None:
        """Unless it has had another link since."""
        with self._lock:
            channel, links = self._channels.get(id_, (None, 0))
            if channel is None or (links != number and not channel.over):
                return
            del self._channels[id_]
        channel.close()
