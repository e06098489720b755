"""Loopback ports that lead elsewhere, and the one by which a head is asked."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.door import SECRET_FILE, basic
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.tending.forwarding import Forward, opened
from ebbtide.infra.platforms.kubernetes.tending.head import Head, hosts_of
from tests.helpers import wait_until
from tests.unit.platforms.tending.fakes import CLUSTER, FakeApi, pod

ANSWER = {"workers": {"w-a": {"running": 1}}, "running": 1, "queued": 0}


class Pages(BaseHTTPRequestHandler):
    """A head's pages, which keep connections."""

    protocol_version = "HTTP/1.1"
    secret = "known"

    def do_GET(self) -> None:
        known = self.headers["Authorization"] == basic(self.secret)
        body = json.dumps(ANSWER).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class There:
    """The far end, how it is connected to, and how often it was."""

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.open: list[socket.socket] = []
        self.away = False

    def connect(self) -> socket.socket:
        if self.away:
            raise ApiError(404, "NotFound", "no such pod")
        where = ("127.0.0.1", self.server.server_address[1])
        self.open.append(socket.create_connection(where))
        return self.open[-1]


@pytest.fixture
def there() -> Iterator[There]:
    made = There()
    yield made
    made.server.shutdown()
    made.server.server_close()


def get(port: int) -> bytes:
    """All that comes back of one question."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as near:
        near.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = b""
        while data := near.recv(4096):
            found += data
        return found


def test_each_connection_is_led_there(there: There) -> None:
    forward = Forward(there.connect)
    answers = [get(forward.port) for _ in range(2)]
    forward.close()
    assert [answer.split()[1] for answer in answers] == [b"401"] * 2
    assert len(there.open) == 2


def test_why_nothing_answers_is_known(there: There) -> None:
    there.away = True
    forward = Forward(there.connect)
    assert get(forward.port) == b""
    forward.close()
    assert forward.error == "no such pod"


def test_closed_forward_listens_no_more_and_ends_what_was_open(there: There) -> None:
    forward = Forward(there.connect)
    with socket.create_connection(("127.0.0.1", forward.port), timeout=10) as near:
        wait_until(lambda: there.open, 10, "it is led there")
        forward.close()
        assert near.recv(1) == b""
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", forward.port), timeout=10)


def test_connection_that_takes_too_long_is_given_up_and_closed_when_it_comes() -> None:
    go_on, late = threading.Event(), socket.socketpair()

    def connect() -> socket.socket:
        go_on.wait(10)
        return late[0]

    with pytest.raises(ApiError, match="no connection within"):
        opened(connect, timeout_s=0.05)
    go_on.set()
    assert late[1].recv(1) == b""
    late[1].close()


class HeadApi(FakeApi):
    """Has the cluster's Secret, and leads to the far end."""

    connect: Callable[..., Any]


@pytest.fixture
def head(there: There) -> Iterator[Head]:
    api = HeadApi(answer={"data": {SECRET_FILE: base64.b64encode(b"known").decode()}})
    api.connect = lambda _pod, _port: there.connect()
    made = Head(cast(Api, api), CLUSTER, load_framework("dask"))
    yield made
    made.close()


def test_head_is_asked_over_one_connection(there: There, head: Head) -> None:
    found = [head.ask("its-pod", {}) for _ in range(5)]
    assert [status and status.workers["w-a"].running for status in found] == [1] * 5
    assert len(there.open) == 1


def test_connection_that_was_lost_is_made_again(there: There, head: Head) -> None:
    assert head.ask("its-pod", {}) is not None
    there.open[0].shutdown(socket.SHUT_RDWR)
    assert head.ask("its-pod", {}) is not None
    assert len(there.open) == 2


def test_head_that_is_away_has_no_answer(there: There, head: Head) -> None:
    there.away = True
    assert head.ask("its-pod", {}) is None


def test_hosts_are_the_addresses_of_pods_that_have_one() -> None:
    placed = pod("w-a")
    placed["status"]["podIP"] = "10.0.0.7"
    assert hosts_of([placed, pod("w-b")]) == {"10.0.0.7": "w-a"}
