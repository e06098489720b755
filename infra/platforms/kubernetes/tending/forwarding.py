"""Ports of this machine's loopback that lead to a port of a pod, through the API server.

Who comes to such a port is let in by what listens in the pod (``infra.frameworks.door``).
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.inside.tunnel.channel import shut

LOOPBACK = "127.0.0.1"
OPEN_S = 10.0
"""How long a connection to a pod may take, though the API server tries a node for half a minute."""
_CHUNK_BYTES = 2**16

Connect = Callable[[], Any]
"""Opens a connection and returns its socket; raises an ApiError."""


class Forward:
    """Listens from the start and leads each connection to the pod, until it is closed."""

    def __init__(self, connect: Connect, port: int = 0):
        """Listen on loopback.

        Args:
            connect: opens one connection, such as ``partial(api.connect, pod, port)``.
            port: of this machine; 0: any that is free.
        """
        self.error = ""
        """Why the last connection to the pod could not be made; empty when it could."""
        self._connect = connect
        self._listening = socket.create_server((LOOPBACK, port))
        self.port: int = self._listening.getsockname()[1]
        self._near: set[socket.socket] = set()
        threading.Thread(target=self._accept, name=f"forward {self.port}", daemon=True).start()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        shut(self._listening)
        for near in tuple(self._near):
            shut(near)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                self._near.add(near)
                threading.Thread(target=self._lead, args=(near,), daemon=True).start()

    def _lead(self, near: socket.socket) -> None:
        try:
            far = opened(self._connect)
        except ApiError as error:
            self.error = error.message
        else:
            self.error = ""
            there = threading.Thread(target=_pump, args=(near, far), daemon=True)
            there.start()
            _pump(far, near)
            there.join()
        shut(near)
        self._near.discard(near)


def opened(connect: Connect, timeout_s: float = OPEN_S) -> Any:
    """Open a connection within a time.

    Args:
        connect: opens it.
        timeout_s: in seconds; what comes later is closed.

    Returns:
        Its socket.

    Raises:
        ApiError: it could not be opened, or not in time.
    """
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    given_up = threading.Event()

    def open_it() -> None:
        try:
            answers.put(connect())
        except ApiError as error:
            answers.put(error)
        if given_up.is_set():
            _drop(answers)

    threading.Thread(target=open_it, daemon=True).start()
    try:
        found = answers.get(timeout=timeout_s)
    except queue.Empty:
        given_up.set()
        _drop(answers)
        raise ApiError(0, "Timeout", f"no connection within {timeout_s:.0f} s") from None
    if isinstance(found, ApiError):
        raise found
    return found


def _drop(answers: queue.SimpleQueue[Any]) -> None:
    with contextlib.suppress(queue.Empty):
        late = answers.get_nowait()
        if not isinstance(late, ApiError):
            late.close()


def _pump(source: Any, target: Any) -> None:
    """Pass on what comes. When one side has ended, so has the other: nothing is half closed."""
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK_BYTES):
            target.sendall(data)
    for each in (target, source):
        shut(each)
