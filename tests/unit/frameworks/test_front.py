"""The authenticated door in front of Ray's and Spark's pages, with a page of the test behind it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ebbtide.infra.frameworks.door import Door, basic
from ebbtide.infra.frameworks.front import Front, Page

TOKEN = "Bearer of-the-framework"
SECRET = "s3cret"
HOST = "127.0.0.1"


class Behind(BaseHTTPRequestHandler):
    """Tells what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "echo":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            self.wfile.write(self.rfile.read(5))
            self.close_connection = True
            return
        body = json.dumps([self.command, self.path, self._body(), dict(self.headers)]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def _body(self) -> int:
        return len(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    def log_message(self, *_: object) -> None:
        pass


def closed_door() -> Door:
    return Door(SECRET, ["localhost"])


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    with ThreadingHTTPServer((HOST, 0), Behind) as behind:
        threading.Thread(target=behind.serve_forever, daemon=True).start()
        front = Front(closed_door(), HOST)
        page = Page(host=HOST, port=behind.server_port, authorization=TOKEN)
        front.serve(lambda: {"running": 3}, page)
        yield front
        behind.shutdown()


def say(front: Front, raw: bytes) -> bytes:
    """All that is answered."""
    with socket.create_connection((HOST, front.port), timeout=20) as connection:
        connection.sendall(raw)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def ask(front: Front, line: str, *headers: str, body: bytes = b"") -> bytes:
    """With the secret."""
    known = f"Authorization: {basic(SECRET)}"
    head = "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", known, *headers, "", ""])
    return say(front, head.encode() + body)


def seen_behind(answer: bytes) -> tuple[str, str, int, dict[str, str]]:
    method, path, size, headers = json.loads(answer.partition(b"\r\n\r\n")[2])
    return method, path, size, headers


def test_page_behind_is_told_its_token_and_never_the_secret(front: Front) -> None:
    method, path, _, headers = seen_behind(ask(front, "GET /a?b=c", "X-Mine: 1"))
    assert (method, path) == ("GET", "/a?b=c")
    assert headers.pop("Authorization") == TOKEN
    assert headers == {"Host": "localhost", "X-Mine": "1", "Connection": "close"}


def test_body_larger_than_a_buffer_comes_whole(front: Front) -> None:
    body = bytes(3_000_000)
    answer = ask(front, "POST /up", f"Content-Length: {len(body)}", body=body)
    assert seen_behind(answer)[:3] == ("POST", "/up", len(body))


def test_upgraded_connection_goes_both_ways(front: Front) -> None:
    answer = ask(front, "GET /", "Upgrade: echo", "Connection: Upgrade", body=b"12345")
    assert answer.startswith(b"HTTP/1.1 101")
    assert answer.endswith(b"12345")


def test_figures_want_the_secret_too(front: Front) -> None:
    assert ask(front, "GET /ebb/status", "Connection: close").endswith(b'\r\n\r\n{"running": 3}')
    answer = say(front, b"GET /ebb/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"WWW-Authenticate: Basic" in answer


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nA: 1\r\n folded: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost : evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    ],
)
def test_what_can_be_read_in_two_ways_is_not_passed_on(front: Front, raw: bytes) -> None:
    assert say(front, raw).startswith(b"HTTP/1.1 400")


def test_endless_head_is_cut_off(front: Front) -> None:
    answer = b""
    with contextlib.suppress(ConnectionError):
        answer = say(front, b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + bytes(300_000))
    assert answer == b""


def test_usual_port_that_is_taken_is_not_waited_for() -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        front = Front(closed_door(), HOST, taken)
        assert front.port != taken
        front.close()


def test_page_that_comes_later_than_the_figures_is_waited_for() -> None:
    front = Front(closed_door(), HOST)
    front.serve(lambda: {"running": 3})
    assert ask(front, "GET /ebb/status", "Connection: close").endswith(b'{"running": 3}')
    answer = ask(front, "GET /page")
    assert answer.startswith(b"HTTP/1.1 502")
    assert b"Refresh: 1" in answer


def test_who_asks_for_figures_again_and_again_keeps_the_connection(front: Front) -> None:
    connection = http.client.HTTPConnection("localhost", front.port)
    with contextlib.closing(connection):
        for _ in range(3):
            connection.request("GET", "/ebb/status", headers={"Authorization": basic(SECRET)})
            answer = connection.getresponse()
            assert json.load(answer) == {"running": 3}
            assert connection.sock is not None


@pytest.mark.parametrize("more", [{"Content-Length": "5"}, {"Connection": "close"}])
def test_what_could_be_read_in_two_ways_ends_the_connection(
    front: Front, more: dict[str, str]
) -> None:
    connection = http.client.HTTPConnection("localhost", front.port)
    with contextlib.closing(connection):
        headers = {"Authorization": basic(SECRET), **more}
        connection.request("GET", "/ebb/status", headers=headers)
        connection.getresponse().read()
        assert connection.sock is None
