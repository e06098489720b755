"""A relay on loopback in front of a Prefect server that counts the requests passing through it.

It relays bytes and looks only at what clients send: each request line counts, also of those that
open a websocket, whose messages then pass uncounted (but their bytes are).
"""

from __future__ import annotations

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"(GET|POST|PUT|PATCH|DELETE|HEAD) (/\S*) HTTP/1\.1\r\n")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_PART = 65536
_LONGEST_LINE = 4096


@dataclass
class Traffic:
    """What has passed so far."""

    requests: Counter[str] = field(default_factory=Counter)
    """By method and path, ids left out."""
    sent_bytes: int = 0
    """From clients to the server."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> tuple[Counter[str], int]:
        """What has passed since this was last asked."""
        with self.lock:
            found = self.requests, self.sent_bytes
            self.requests, self.sent_bytes = Counter(), 0
            return found

    def note(self, head: bytes, data: bytes) -> bytes:
        """Count what a client sent; gives what may be the head of a line that is cut in two.

        A request line cannot be inside a body of ours: JSON has no bare line ends.
        """
        text = head + data
        found = list(_REQUEST.finditer(text))
        with self.lock:
            self.sent_bytes += len(data)
            for match in found:
                path = _ID.sub("ID", match[2].decode().partition("?")[0])
                self.requests[f"{match[1].decode()} {path}"] += 1
        return text[found[-1].end() :][-_LONGEST_LINE:] if found else text[-_LONGEST_LINE:]


@contextmanager
def counting(url: str) -> Iterator[tuple[str, Traffic]]:
    """The same server under another port, and what passes there.

    Args:
        url: the server's API, such as ``http://127.0.0.1:4200/api``.
    """
    target = urlsplit(url)
    traffic = Traffic()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = (listener, (target.hostname or "127.0.0.1", target.port or 80), traffic)
        threading.Thread(target=_serve, args=words, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{target.path}", traffic
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, target: tuple[str, int], traffic: Traffic) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for words in ((client, server, traffic), (server, client, None)):
                threading.Thread(target=_relay, args=words, daemon=True).start()


def _relay(source: socket.socket, sink: socket.socket, traffic: Traffic | None) -> None:
    head = b""
    with suppress(OSError):
        while data := source.recv(_PART):
            if traffic is not None:
                head = traffic.note(head, data)
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
