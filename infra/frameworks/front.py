"""One authenticated door to a head: its figures, and the framework's own page behind it.

Spark's and Ray's pages know tokens and no passwords, which no browser can be given by a link. So
the head's own process takes what browsers speak (see ``door``), and tells the page behind the
framework's token. One connection is one request, unless it asks for figures, which somebody does
all the time; after its headers, bytes are passed on as they are, so that uploads, streams and
websockets need no thought.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from typing import Any

from ebbtide.infra.frameworks.door import CHALLENGE, OPEN_PATH, Door
from ebbtide.infra.frameworks.heads import STATUS_PATH

_HEAD_TIMEOUT_S = 10.0
_NEXT_TIMEOUT_S = 60.0
"""Who asks for figures may come back so long after the last time."""
_LONGEST_HEAD_BYTES = 2**16
_CHUNK_BYTES = 2**16
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OF_THIS_CONNECTION = ("authorization", "connection", "keep-alive", "proxy-connection")

_Answer = Callable[[], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The framework's own page."""

    host: str
    port: int
    authorization: str
    """The header that lets us in."""
    start: str = "/"
    """The path that people come to first."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    headers: Message


class Front:
    """Listens from the start, so that its port is known before the framework begins."""

    def __init__(self, door: Door, bind: str, usual_port: int = 0):
        """Listen on ``bind`` at the usual port, or at any when that is taken."""
        self._door = door
        self._socket = _listen(bind, usual_port)
        self.port: int = self._socket.getsockname()[1]
        self._answer: _Answer = dict
        self.page: Page | None = None
        """May come later than the figures."""

    def serve(self, answer: _Answer, page: Page | None = None) -> None:
        """From a thread, as long as the process lives: ``answer`` at its path, else the page."""
        self._answer, self.page = answer, page
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()

    def close(self) -> None:
        """Listen no more, before it serves."""
        self._socket.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._connected, sock=self._socket, limit=_LONGEST_HEAD_BYTES
        )
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            timeout_s, again = _HEAD_TIMEOUT_S, True
            while again:
                async with asyncio.timeout(timeout_s):
                    raw = await reader.readuntil(b"\r\n\r\n")
                again = await self._judge(_parsed(raw), reader, writer)
                timeout_s = _NEXT_TIMEOUT_S
        writer.close()

    async def _judge(
        self,
        request: _Request | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Answer. Returns whether another request may come on this connection."""
        if request is None:
            await _say(writer, HTTPStatus.BAD_REQUEST, b"not a request that is understood\n")
            return False
        refusal = self._door.refusal(request.method, request.headers)
        if refusal is not None:
            await _say(writer, HTTPStatus(refusal.status), f"{refusal.message}\n".encode())
        elif request.target == STATUS_PATH:
            again = _ends_with_its_headers(request)
            await _say(writer, HTTPStatus.OK, json.dumps(self._answer()).encode(), again=again)
            return again
        elif request.target == OPEN_PATH:
            start = self.page.start if self.page is not None else "/"
            there = f"Location: http://{request.headers['Host']}{start}"
            await _say(writer, HTTPStatus.SEE_OTHER, b"", there)
        elif self.page is None:
            await _say_later(writer)
        else:
            await _pass_on(request, self.page, reader, writer)
        return False


def _ends_with_its_headers(request: _Request) -> bool:
    """Whether the next byte is that of another request, and there may be one."""
    headers = request.headers
    alone = not any(name in headers for name in ("Content-Length", "Transfer-Encoding", "Upgrade"))
    closes = "close" in str(headers.get("Connection", "")).lower()
    return request.method == "GET" and alone and not closes


def _listen(bind: str, usual_port: int) -> socket.socket:
    with contextlib.suppress(OSError):
        return socket.create_server((bind, usual_port))
    return socket.create_server((bind, 0))


def _parsed(raw: bytes) -> _Request | None:
    """None for what two readers could understand in two ways."""
    first, _, rest = raw.partition(b"\r\n")
    parts = first.decode("latin-1").split(" ")
    try:
        headers = http.client.parse_headers(io.BytesIO(rest))
    except http.client.HTTPException:
        return None
    folded = any(set(str(value)) & {"\r", "\n"} for value in headers.values())
    named = all(_NAME.fullmatch(name) for name in headers)
    hosts = headers.get_all("Host", [])
    if len(parts) != 3 or headers.defects or folded or not named or len(hosts) != 1:
        return None
    return _Request(parts[0], parts[1], headers)


async def _say(
    writer: asyncio.StreamWriter,
    status: HTTPStatus,
    body: bytes,
    *headers: str,
    again: bool = False,
) -> None:
    kind = "application/json" if status is HTTPStatus.OK else "text/plain; charset=utf-8"
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store",
        f"Connection: {'keep-alive' if again else 'close'}",
        *headers,
    ]
    if status is HTTPStatus.UNAUTHORIZED:
        lines.append(f"WWW-Authenticate: {CHALLENGE}")
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    await writer.drain()


async def _say_later(writer: asyncio.StreamWriter) -> None:
    message = (
        b"the page behind does not answer yet, or no more; this page looks again each second\n"
    )
    await _say(writer, HTTPStatus.BAD_GATEWAY, message, "Refresh: 1")


async def _pass_on(
    request: _Request, page: Page, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        answers, questions = await asyncio.open_connection(page.host, page.port)
    except OSError:
        await _say_later(writer)
        return
    try:
        questions.write(_head(request, page))
        asking = asyncio.create_task(_pump(reader, questions))
        await _pump(answers, writer)
        asking.cancel()
    finally:
        questions.close()


def _head(request: _Request, page: Page) -> bytes:
    """With our authorization instead of theirs, and one request a connection."""
    kept = [
        f"{name}: {value}"
        for name, value in request.headers.items()
        if name.lower() not in _OF_THIS_CONNECTION
    ]
    connection = "close" if request.headers.get("Upgrade") is None else "Upgrade"
    own = [f"Authorization: {page.authorization}", f"Connection: {connection}"]
    first = f"{request.method} {request.target} HTTP/1.1"
    return "\r\n".join([first, *kept, *own, "", ""]).encode("latin-1")


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK_BYTES):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
