"""Connections through a tunnel: links break, and nothing of them is lost or repeated."""

from __future__ import annotations

import contextlib
import hashlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.inside.tunnel.channel import shut
from ebbtide.infra.platforms.kubernetes.inside.tunnel.far import Far
from ebbtide.infra.platforms.kubernetes.sessions.tunnel import Tunnel
from tests.helpers import wait_until

MIB = 2**20


class Server:
    """Listens on loopback, and does one thing with each connection."""

    def __init__(self, serve: Callable[[socket.socket], None]):
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        self._serve(connection)
        connection.close()
        self.ended.set()

    def close(self) -> None:
        shut(self._listening)


class Way:
    """How a tunnel opens its links: they can be broken, and refused."""

    def __init__(self, port: int):
        self.port, self.away, self.opened = port, False, 0
        self.links: list[socket.socket] = []

    def __call__(self) -> socket.socket:
        if self.away:
            raise ApiError(0, "", "no answer")
        link = socket.create_connection(("127.0.0.1", self.port))
        self.opened += 1
        self.links.append(link)
        return link

    def break_all(self) -> None:
        for link in self.links:
            shut(link)
        self.links.clear()


def echo(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := connection.recv(50_000):
            connection.sendall(data)


@pytest.fixture
def head() -> Iterator[Server]:
    server = Server(echo)
    yield server
    server.close()


@pytest.fixture
def far(head: Server) -> Iterator[Far]:
    far = Far(0, head.port, keep_s=2.0)
    yield far
    far.close()


@pytest.fixture
def way(far: Far) -> Way:
    return Way(far.port)


@pytest.fixture
def healed() -> list[str]:
    return []


@pytest.fixture
def tunnel(way: Way, healed: list[str]) -> Iterator[Tunnel]:
    tunnel = Tunnel(way, lambda: healed.append("healed"), keep_s=2.0)
    yield tunnel
    tunnel.close()


@pytest.fixture
def program(tunnel: Tunnel) -> Iterator[socket.socket]:
    connection = socket.create_connection(("127.0.0.1", tunnel.port))
    connection.settimeout(20)
    yield connection
    connection.close()


def exchange(
    program: socket.socket, data: bytes, got: Callable[[int], object] = lambda _: None
) -> bytes:
    """Send all of it, and read as much; ``got`` is told how much has come."""
    threading.Thread(target=program.sendall, args=(data,), daemon=True).start()
    found = bytearray()
    while len(found) < len(data):
        piece = program.recv(100_000)
        assert piece, "the connection ended"
        found += piece
        got(len(found))
    return bytes(found)


def test_what_is_said_comes_both_ways(program: socket.socket, healed: list[str]) -> None:
    assert exchange(program, b"word") == b"word"
    assert healed == []


def test_a_program_does_not_notice_that_its_link_breaks(
    program: socket.socket, way: Way, healed: list[str]
) -> None:
    assert exchange(program, b"before") == b"before"
    way.away = True
    way.break_all()
    program.sendall(b"mean")
    way.away = False
    program.sendall(b"while")
    found = b""
    while len(found) < len(b"meanwhile"):
        found += program.recv(100)
    assert found == b"meanwhile"
    assert healed == ["healed"]


def test_nothing_is_lost_or_repeated_of_much_while_links_break_again_and_again(
    program: socket.socket, way: Way
) -> None:
    data = random.Random(7).randbytes(24 * MIB)
    breaks = [5 * MIB * number for number in range(1, 5)]

    def break_at(got: int) -> None:
        if breaks and got > breaks[0]:
            breaks.pop(0)
            way.break_all()

    found = exchange(program, data, break_at)
    assert hashlib.sha256(found).digest() == hashlib.sha256(data).digest()
    assert (breaks, way.opened) == ([], 5)


def test_the_head_hears_that_its_program_has_gone(program: socket.socket, head: Server) -> None:
    assert exchange(program, b"word") == b"word"
    program.close()
    assert head.ended.wait(5)


def test_a_program_hears_that_the_head_has_gone_with_all_it_has_said(
    way: Way, tunnel: Tunnel, far: Far
) -> None:
    said = b"x" * MIB

    def says(connection: socket.socket) -> None:
        connection.sendall(said)

    far._to = (server := Server(says)).port
    with socket.create_connection(("127.0.0.1", tunnel.port)) as program:
        program.settimeout(20)
        found = bytearray()
        while piece := program.recv(100_000):
            found += piece
    server.close()
    assert bytes(found) == said


def test_who_stays_away_for_too_long_is_given_up_on_both_sides(
    program: socket.socket, way: Way, head: Server
) -> None:
    assert exchange(program, b"word") == b"word"
    way.away = True
    way.break_all()
    assert program.recv(1) == b""
    assert head.ended.wait(10)


def test_an_end_that_does_not_know_the_connection_ends_it(
    program: socket.socket, way: Way, far: Far, head: Server
) -> None:
    """As after its container has been started again."""
    assert exchange(program, b"word") == b"word"
    other = Far(0, head.port)
    way.port = other.port
    way.break_all()
    assert program.recv(1) == b""
    other.close()


def test_all_is_forgotten_of_a_connection_that_has_ended(
    program: socket.socket, far: Far, tunnel: Tunnel
) -> None:
    assert exchange(program, b"word") == b"word"
    program.close()
    wait_until(lambda: not far._channels and not tunnel._channels, 10, "both have forgotten it")
