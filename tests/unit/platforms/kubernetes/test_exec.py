"""A command that runs in a container, as the official client hands its frames over."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.stream.ws_client import WSClient

from ebbtide.infra.platforms.kubernetes.client import Exec

BINARY, CLOSE = 2, 8
STDOUT = b"\x01"


class Server:
    """The other end: frames that are all there at once."""

    connected = True
    subprotocol = "v4.channel.k8s.io"

    def __init__(self, count: int):
        self.sock, self._far = socket.socketpair()
        self._far.send(b"there is something to read")
        self._frames = iter([(BINARY, STDOUT + b"x" * 100)] * count + [(CLOSE, b"")])

    def recv_data_frame(self, control: bool) -> tuple[int, Any]:
        del control
        code, data = next(self._frames)
        return code, SimpleNamespace(data=data)

    def close(self) -> None:
        self.sock.close()
        self._far.close()

    shutdown = close


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server(50)
    connect = "kubernetes.stream.ws_client.create_websocket"
    monkeypatch.setattr(connect, lambda *_: made)
    yield made
    made.close()


def test_frames_are_taken_one_by_one_and_not_kept(server: Server) -> None:
    client = WSClient(None, "ws://here", None, capture_all=True, binary=True)
    running = Exec(client, "exec")
    pieces = []
    while (piece := running.read(0)) is not None:
        pieces.append(piece)
    assert pieces == [b"x" * 100] * 50
    assert not hasattr(client._all, "getvalue")
