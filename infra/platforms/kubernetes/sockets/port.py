"""A connection to a port of a pod."""

from __future__ import annotations

import contextlib
import select
import socket
import threading

from ebbtide.infra.platforms.kubernetes.credentials.base import Channels

_DATA, _ERROR = range(2)
_CHUNK_BYTES = 2**16
_LIMIT_BYTES = 2**20
"""So much is kept of what the pod has sent and nobody here has read: then it has to wait."""
_SILENT_S = 30.0
"""What was on its way when the pod's side ended waits so long for somebody who reads it."""


def lead(channels: Channels, name: str) -> socket.socket:
    """Lead a socket of this process to the pod.

    Args:
        channels: the web socket of a port-forward of one port.
        name: of the thread that passes on what comes.

    Returns:
        The socket. Closing it ends the connection; its end is that of the connection.
    """
    near, far = socket.socketpair()
    threading.Thread(target=_Passing(channels, far).run, name=name, daemon=True).start()
    return near


class _Passing:
    """Passes on what comes, both ways, until one side has ended."""

    def __init__(self, channels: Channels, far: socket.socket):
        self._channels, self._far = channels, far
        self._far.setblocking(False)
        self._held = bytearray()
        """What is on its way here."""
        self._begun: set[int] = set()
        self._over = False

    def run(self) -> None:
        """Until the end, which is that of both sides."""
        # Errors of web socket, TLS and socket alike: the connection has ended.
        with contextlib.suppress(Exception):
            while not self._over:
                self._pass_on()
        self._channels.close()
        with contextlib.suppress(OSError):  # nobody is there to read the rest
            self._far.settimeout(_SILENT_S)
            self._far.sendall(self._held)
        self._far.close()

    def _pass_on(self) -> None:
        has_room = len(self._held) < _LIMIT_BYTES
        more = has_room and self._channels.has_more
        waiting = select.poll()
        waiting.register(self._far, select.POLLIN | (select.POLLOUT if self._held else 0))
        if has_room:
            waiting.register(self._channels, select.POLLIN)
        ready = dict(waiting.poll(0 if more else None))
        here = ready.get(self._far.fileno(), 0)
        if here & select.POLLOUT:
            del self._held[: self._far.send(self._held)]
        if here & ~select.POLLOUT:
            self._send()
        if more or self._channels.fileno() in ready:
            self._receive()

    def _send(self) -> None:
        data = self._far.recv(_CHUNK_BYTES)
        if data:
            self._channels.send(_DATA, data)
        else:
            self._over = True

    def _receive(self) -> None:
        channel, data = self._channels.receive(0)
        self._over = self._over or not self._channels.is_open
        if not data:
            return
        if channel not in self._begun:
            self._begun.add(channel)  # its first frame is the number of the port
        elif channel == _ERROR:
            self._over = True
        else:
            self._held += data
