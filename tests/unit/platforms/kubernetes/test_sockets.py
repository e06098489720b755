"""Commands and ports of pods over real web sockets: the frames are the API server's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha1
from pathlib import Path

import pytest

from ebbtide.infra.frameworks.certificates import new_certificate
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.sockets import port as port_module
from ebbtide.infra.platforms.kubernetes.sockets.channels import WebSocketChannels, connect
from ebbtide.infra.platforms.kubernetes.sockets.command import Exec, as_api_errors
from ebbtide.infra.platforms.kubernetes.sockets.port import lead

_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE = 2, 8
STDOUT, STDERR, STATUS = 1, 2, 3
FAILED = b'{"status":"Failure","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}'
Talk = Callable[["Server"], object]


class Server:
    """The API server's end of one web socket."""

    def __init__(self, folder: Path, talk: Talk, refuses: bytes = b""):
        certificate, key = new_certificate("localhost")
        self.authority, both = certificate.content, folder / "both.pem"
        both.write_text(certificate.content + key.content)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(both)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listening.getsockname()[1]}/exec?command=x"
        self._tls, self._talk, self._refuses = tls, talk, refuses
        self.asked = b""
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def client(self, **headers: str) -> WebSocketChannels:
        trusts = ssl.create_default_context(cadata=self.authority)
        return connect(self.url, trusts, headers, "exec in pod")

    def send(self, channel: int, data: bytes = b"", code: int = BINARY) -> None:
        payload = data if code == CLOSE else bytes((channel,)) + data
        head = bytes((0x80 | code,))
        size = len(payload)
        head += bytes((size,)) if size < 126 else b"\x7f" + struct.pack("!Q", size)
        self._near.sendall(head + payload)

    def receive(self) -> bytes:
        """One frame of the client's, without its mask; empty when it has ended."""
        head = self._exactly(2)
        if len(head) < 2 or head[0] & 0xF == CLOSE:
            return b""
        size = head[1] & 0x7F
        if size == 126:
            size = struct.unpack("!H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack("!Q", self._exactly(8))[0]
        mask, data = self._exactly(4), self._exactly(size)
        return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))

    def close(self) -> None:
        self._listening.close()
        self.thread.join(10)

    def _serve(self) -> None:
        plain, _ = self._listening.accept()
        plain.settimeout(10)
        with contextlib.suppress(ssl.SSLError), self._secured(plain) as self._near:
            while not self.asked.endswith(b"\r\n\r\n"):
                self.asked += self._near.recv(1)
            if self._refuses:
                self._near.sendall(self._refuses)
                return
            key = self.asked.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            accept = b64encode(sha1(key + _KEY).digest())
            self._near.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            self._talk(self)

    def _secured(self, plain: socket.socket) -> ssl.SSLSocket:
        with plain:  # also when the client does not trust us
            return self._tls.wrap_socket(plain, server_side=True)

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count and (piece := self._near.recv(count - len(found))):
            found += piece
        return found


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def start(talk: Talk = lambda _: None, refuses: bytes = b"") -> Server:
        made.append(Server(tmp_path, talk, refuses))
        return made[-1]

    yield start
    for server in made:
        server.close()


def whole(command: Exec) -> bytes:
    found = b""
    while (piece := command.read(5)) is not None:
        found += piece
    return found


def test_command_gives_its_streams_apart_and_its_exit_code(
    serve: Callable[..., Server],
) -> None:
    def talk(server: Server) -> None:
        server.send(STDOUT, b"out ")
        server.send(STDERR, b"err")
        server.send(STDOUT, b"x" * 70_000)
        server.send(STATUS, FAILED)
        server.send(0, code=CLOSE)

    with Exec(serve(talk).client(), "exec in pod") as command:
        assert whole(command) == b"out " + b"x" * 70_000
        assert (command.errors, command.code) == ("err", 3)


def test_what_is_written_comes_on_the_channel_of_stdin(serve: Callable[..., Server]) -> None:
    def talk(server: Server) -> None:
        server.send(STDOUT, server.receive())
        server.send(0, code=CLOSE)

    with Exec(serve(talk).client(), "exec in pod") as command:
        command.write(b"hello")
        assert whole(command) == b"\x00hello"


def test_connection_that_is_cut_is_no_end(serve: Callable[..., Server]) -> None:
    with Exec(
        serve(lambda server: server.send(STDOUT, b"so far")).client(), "exec in x"
    ) as command:
        assert command.read(5) == b"so far"
        with pytest.raises(ApiError, match="exec in x"):
            whole(command)
        assert command.code is None


def test_nothing_in_time_is_no_end(serve: Callable[..., Server]) -> None:
    go_on = threading.Event()
    with Exec(serve(lambda _: go_on.wait(10)).client(), "exec in pod") as command:
        assert command.read(0.01) == b""
        go_on.set()


def test_who_asks_is_said_and_the_protocols_are_offered(serve: Callable[..., Server]) -> None:
    server = serve()
    server.client(authorization="Bearer known").close()
    server.thread.join(10)
    assert b"\r\nauthorization: Bearer known\r\n" in server.asked
    assert b"Sec-WebSocket-Protocol: v5.channel.k8s.io,v4.channel.k8s.io\r\n" in server.asked
    assert server.asked.startswith(b"GET /exec?command=x HTTP/1.1\r\n")


def test_refusal_is_the_servers_own(serve: Callable[..., Server]) -> None:
    body = b'{"kind":"Status","reason":"Forbidden","message":"you may not","code":403}'
    length = str(len(body)).encode()
    server = serve(refuses=b"HTTP/1.1 403 No\r\nContent-Length: " + length + b"\r\n\r\n" + body)
    with pytest.raises(ApiError) as refused:
        server.client()
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    assert refused.value.message == "you may not"


def test_server_that_is_not_trusted_is_told_nothing(serve: Callable[..., Server]) -> None:
    server = serve()
    with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"), as_api_errors("exec in pod"):
        connect(server.url, ssl.create_default_context(), {"authorization": "x"}, "exec in pod")
    assert server.asked == b""


def port(server: Server) -> socket.socket:
    near = lead(server.client(), "port-forward to pod")
    near.settimeout(10)
    return near


def echo(server: Server) -> None:
    server.send(0, b"\x90\x1f")
    server.send(1, b"\x90\x1f")
    while data := server.receive():
        server.send(0, data[1:])


def received(near: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count and (piece := near.recv(2**16)):
        found += piece
    return found


def test_port_passes_on_both_ways(serve: Callable[..., Server]) -> None:
    with port(serve(echo)) as near:
        sent = bytes(range(256)) * 1000
        threading.Thread(target=near.sendall, args=(sent,), daemon=True).start()
        assert received(near, len(sent)) == sent


def test_end_of_one_side_of_a_port_is_that_of_the_other(serve: Callable[..., Server]) -> None:
    ended = threading.Event()

    def talk(server: Server) -> None:
        echo(server)
        ended.set()

    port(serve(talk)).close()
    assert ended.wait(10)


@pytest.mark.parametrize("end", ["closed", "cut", "error"])
def test_what_came_before_the_end_of_the_pods_side_is_read(
    serve: Callable[..., Server], end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port_module, "_LIMIT_BYTES", 1000)

    def talk(server: Server) -> None:
        server.send(0, b"\x90\x1f")
        server.send(1, b"\x90\x1f")
        for _ in range(20):
            server.send(0, b"x" * 50_000)
        if end == "error":
            server.send(1, b"connection refused")
        elif end == "closed":
            server.send(0, code=CLOSE)

    with port(serve(talk)) as near:
        assert len(received(near, 20 * 50_000)) == 20 * 50_000
        assert near.recv(1) == b""
