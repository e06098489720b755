"""A second address of the API server, on loopback, that answers in its place when it is told to.

TLS ends here, so that it sees each request: one a connection. It speaks to the server as the
administrator, or with the token that a request brings. Exec and watches pass as they are.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.kubernetes.lab.place import Lab

_PART = 65536
_LONGEST_HEAD = 65536
_ENDED = b"\r\n\r\n"
_HOP = re.compile(rb"(?im)^connection:.*\r\n")
_LENGTH = re.compile(rb"(?im)^content-length: *(\d+)")
WATCHES = r"^GET \S*watch=true"
WRITES = r"^(POST|PUT|PATCH|DELETE) "


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What becomes of a request. With nothing said, its connection is cut before it is done."""

    status: int = 0
    """What is answered in place of the server; 0: nothing."""
    reason: str = ""
    message: str = "said by a test"
    headers: tuple[str, ...] = ()
    streamed: bool = False
    """Whether the answer is a watch that begins well, and then says so."""
    passes: bool = False
    """Whether the server is asked."""
    loses: bool = False
    """Whether what it answers is thrown away: done, and nobody knows."""
    late_s: float = 0.0
    """So much later the server is asked, or the answer given."""


CUT = Fault()
LOST_ANSWER = Fault(passes=True, loses=True)
CONFLICT = Fault(status=409, reason="Conflict", message="the object has been modified")
EXPIRED = Fault(status=410, reason="Expired", message="too old resource version")
EXPIRED_LATER = Fault(status=410, reason="Expired", message="too old", streamed=True)
UNAUTHORIZED = Fault(status=401, reason="Unauthorized", message="Unauthorized")


def late(seconds: float) -> Fault:
    """Answered so much later."""
    return Fault(passes=True, late_s=seconds)


def busy(seconds: int) -> Fault:
    """Told to come again in so many seconds, as priority and fairness does."""
    return Fault(
        status=429,
        reason="TooManyRequests",
        message="too many requests, please try again later",
        headers=(f"Retry-After: {seconds}",),
    )


@dataclass(slots=True)
class Rule:
    """Which requests a fault strikes."""

    fault: Fault
    pattern: re.Pattern[str]
    every: int = 1
    """One of so many that match."""
    times: int | None = None
    """At most so many; None: all."""
    met: int = 0
    struck: int = 0

    def strikes(self, asked: str) -> bool:
        """Whether this one is to be struck; counts."""
        if not self.pattern.search(asked):
            return False
        self.met += 1
        if self.met % self.every or (self.times is not None and self.struck >= self.times):
            return False
        self.struck += 1
        return True


@dataclass(slots=True)
class Relay:
    """The switch. Safe for several threads."""

    lab: Lab
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """Method, path and query of each request, in order."""
    _rules: list[Rule] = field(default_factory=list)
    _living: dict[int, tuple[str, ssl.SSLSocket]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def server(self) -> str:
        """The relay's URL."""
        return f"https://127.0.0.1:{self.port}"

    def kubeconfig(self, folder: Path, **user: str) -> Path:
        """One that leads here, with these credentials; without any: as the administrator."""
        found = json.loads(self.lab.kubeconfig.read_text())
        found["clusters"][0]["cluster"]["server"] = self.server
        found["users"][0]["user"] = user
        path = folder / "relay.kubeconfig"
        path.write_text(json.dumps(found))
        return path

    def strike(
        self, fault: Fault, on: str = "", *, every: int = 1, times: int | None = None
    ) -> Rule:
        """Begin a fault.

        Args:
            fault: what becomes of the requests.
            on: a pattern of ``METHOD PATH?QUERY``; empty: all.
            every: one of so many.
            times: at most so often; None: until ``heal``.

        Returns:
            The rule, which counts what it has struck.
        """
        rule = Rule(fault, re.compile(on), every, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """End all faults."""
        with self._lock:
            self._rules.clear()

    def cut(self, on: str = "") -> int:
        """Cut the connections that are open, of requests that match; returns how many."""
        with self._lock:
            struck = [link for asked, link in self._living.values() if re.search(on, asked)]
        for link in struck:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        return len(struck)

    def serve(self, link: ssl.SSLSocket) -> None:
        """One connection: one request."""
        head, body = _request(link)
        asked = head.split(b"\r\n")[0].rpartition(b" ")[0].decode()
        with self._lock:
            self.asked.append(asked)
            fault = next((rule.fault for rule in self._rules if rule.strikes(asked)), None)
            self._living[id(link)] = asked, link
        try:
            if fault is not None and not self._goes_on(fault, link):
                return
            with self._upstream(head) as server:
                server.sendall(_alone(head) + body)
                _pump(link, server, loses=fault is not None and fault.loses)
        finally:
            with self._lock:
                del self._living[id(link)]

    def _goes_on(self, fault: Fault, link: ssl.SSLSocket) -> bool:
        """Whether the server is to be asked."""
        threading.Event().wait(fault.late_s)
        if fault.status:
            link.sendall(_answer(fault))
        return fault.passes

    def _upstream(self, head: bytes) -> ssl.SSLSocket:
        keys = self.lab.folder / "keys"
        context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        if b"\r\nauthorization:" not in head.lower():
            context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
        plain = socket.create_connection((self.lab.address, 6443))
        return context.wrap_socket(plain, server_hostname=self.lab.address)


@contextlib.contextmanager
def relayed(lab: Lab) -> Iterator[Relay]:
    """A relay for as long as the block lasts."""
    relay, keys = Relay(lab), lab.folder / "keys"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.crt", keys / "server.key")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            # Whoever is cut off, or hangs up, is no error of the relay's.
            with contextlib.suppress(OSError), context.wrap_socket(self.request, True) as link:
                relay.serve(link)

    with _Server(("127.0.0.1", 0), Handler) as server:
        relay.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield relay
        server.shutdown()
        relay.cut()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


def _request(link: ssl.SSLSocket) -> tuple[bytes, bytes]:
    """Head and body of the one request."""
    data = b""
    while _ENDED not in data:
        more = link.recv(_PART)
        if not more or len(data) > _LONGEST_HEAD:
            raise ConnectionError("no request")
        data += more
    head, _, body = data.partition(_ENDED)
    length = _LENGTH.search(head)
    while length and len(body) < int(length[1]):
        more = link.recv(_PART)
        if not more:
            raise ConnectionError("half a request")
        body += more
    return head + _ENDED, body


def _alone(head: bytes) -> bytes:
    """The head of a request after which nothing follows; that of a web socket as it is."""
    if b"\r\nupgrade:" in head.lower():
        return head
    return _HOP.sub(b"", head).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def _answer(fault: Fault) -> bytes:
    status = {
        "apiVersion": "v1",
        "kind": "Status",
        "status": "Failure",
        "reason": fault.reason,
        "message": fault.message,
        "code": fault.status,
    }
    told = {"type": "ERROR", "object": status} if fault.streamed else status
    body = json.dumps(told).encode() + b"\n"
    lines = [f"HTTP/1.1 {200 if fault.streamed else fault.status} By-Test"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += ["Connection: close", *fault.headers]
    return "\r\n".join(lines).encode() + _ENDED + body


def _pump(link: ssl.SSLSocket, server: ssl.SSLSocket, *, loses: bool) -> None:
    """Both ways, until one of them ends."""
    to = {link: server, server: link}
    while True:
        ready = [end for end in to if end.pending()] or select.select(list(to), [], [])[0]
        for end in ready:
            data = end.recv(_PART)
            if not data:
                return
            if not (loses and end is server):
                to[end].sendall(data)
