"""One connection that is carried over links which may break: nothing of it is lost or repeated.

Each end keeps what the other has not yet said to have. After a break whoever has opened the first
link opens another one, both say how much they have, and go on from there.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Any, NamedTuple

KEEP_S = 120.0
"""So long a connection waits for its next link; no shorter than whoever drives the cluster waits
for the API server."""
ID_BYTES = 16
_HELLO, _ANSWER, _HEAD = (
    struct.Struct(f">{ID_BYTES}s?Q"),
    struct.Struct(">?Q"),
    struct.Struct(">BQ"),
)
_DATA, _HAVE, _END = range(3)
_CHUNK_BYTES = 2**16
_KEPT_BYTES = 2**20
"""No more is taken from a program that the other end has not got."""
_TELL_S = 1.0
"""How often an end says what it has, though nothing else is to be said."""
_SILENT_S = 20.0
"""A link of which nothing is heard for so long has broken."""


class Hello(NamedTuple):
    """What is said first on each link."""

    id: bytes
    new: bool
    """Whether the connection may not be there yet."""
    received: int


class Channel:
    """One end of it."""

    def __init__(self, local: socket.socket):
        """Begin to read from ``local``, which is the program's or the head's connection."""
        self._local = local
        self._changed = threading.Condition()
        self._alone = threading.Lock()
        self._link: Any = None
        self._kept, self._first = bytearray(), 0
        """What the other end has not said to have, and how much was before that."""
        self._received = 0
        """Bytes that ``local`` has got; and one more for the end of the other's."""
        self._read_all = self._heard_end = self._over = False
        threading.Thread(target=self._read, name="tunnel", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether it has ended, and nothing is to be carried any more."""
        return self._over

    @property
    def idle(self) -> bool:
        """Whether its program has gone, and has said nothing that is still to be carried."""
        with self._changed:
            return self._read_all and not self._kept

    def close(self) -> None:
        """End it on this side, whatever is left to be carried."""
        with self._changed:
            self._over = True
            self._changed.notify_all()
        shut(self._local)
        shut(self._link)

    def dialled(self, link: Any, hello: Hello) -> bool:
        """Carry it over a link that this end has opened, until that breaks or the connection ends.

        Args:
            link: a socket.
            hello: without what was received, which is said here.

        Returns:
            False when the other end does not know the connection any more.

        Raises:
            OSError: the other end did not answer.
        """
        with self._alone:
            link.settimeout(_SILENT_S)
            link.sendall(_HELLO.pack(hello.id, hello.new, self._received))
            known, theirs = _ANSWER.unpack(_exactly(link, _ANSWER.size))
            if known:
                self._carry(link, theirs)
            return bool(known)

    def answered(self, link: Any, hello: Hello) -> None:
        """The same for a link that the other end has opened: an older one has broken then.

        Args:
            link: a socket.
            hello: what ``heard`` has read from it.

        Raises:
            OSError: the link has broken before it was used.
        """
        shut(self._link)
        with self._alone:
            link.sendall(_ANSWER.pack(True, self._received))
            self._carry(link, hello.received)

    def _carry(self, link: Any, theirs: int) -> None:
        self._link = link
        link.settimeout(_SILENT_S)
        self._acknowledge(theirs)
        broken = threading.Event()
        sender = threading.Thread(target=self._send, args=(link, theirs, broken), daemon=True)
        sender.start()
        with contextlib.suppress(OSError):
            while not self._over:
                self._take(link)
        if self._heard_end:
            sender.join(_SILENT_S)  # the other end is still to hear that
        with self._changed:
            broken.set()
            self._changed.notify_all()
        shut(link)
        sender.join()

    def _take(self, link: Any) -> None:
        kind, number = _HEAD.unpack(_exactly(link, _HEAD.size))
        if kind == _HAVE:
            self._acknowledge(number)
            return
        data = _exactly(link, number) if kind == _DATA else b""
        try:
            self._local.sendall(data)
        except OSError:  # its program has gone: the other end hears that
            shut(self._local)
        with self._changed:
            self._received += len(data)
            if kind == _END:
                self._received += 1
                self._heard_end = self._over = True
            self._changed.notify_all()
        if kind == _END:
            shut(self._local)

    def _acknowledge(self, theirs: int) -> None:
        with self._changed:
            said = self._said
            self._over = self._over or theirs > said  # they have heard the end, too
            gone = max(0, min(theirs, said) - self._first)
            del self._kept[:gone]
            self._first += gone
            self._changed.notify_all()

    @property
    def _said(self) -> int:
        """How much has been read from the program in all."""
        return self._first + len(self._kept)

    def _send(self, link: Any, at: int, broken: threading.Event) -> None:
        told, ended = -1, False

        def is_news() -> bool:
            more = at < self._said or (self._read_all and not ended)
            return broken.is_set() or self._over or more or self._received - told >= _CHUNK_BYTES

        with contextlib.suppress(OSError):
            while True:
                with self._changed:
                    self._changed.wait_for(is_news, _TELL_S)
                    data = bytes(self._kept[at - self._first : at - self._first + _CHUNK_BYTES])
                    at += len(data)
                    ends = self._read_all and not ended and at == self._said
                    told, over = self._received, self._over
                if broken.is_set():
                    return
                parts = (_HEAD.pack(_DATA, len(data)) + data) if data else b""
                end = _HEAD.pack(_END, 0) if ends else b""
                link.sendall(_HEAD.pack(_HAVE, told) + parts + end)
                ended = ended or ends
                if over:
                    return

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while not self._over and (data := self._local.recv(_CHUNK_BYTES)):
                with self._changed:
                    self._changed.wait_for(lambda: self._over or len(self._kept) < _KEPT_BYTES)
                    self._kept += data
                    self._changed.notify_all()
        with self._changed:
            self._read_all = True
            self._changed.notify_all()


def heard(link: Any) -> Hello:
    """Read what is said first on a link.

    Raises:
        OSError: nothing was, in time.
    """
    link.settimeout(_SILENT_S)
    return Hello(*_HELLO.unpack(_exactly(link, _HELLO.size)))


def refuse(link: Any) -> None:
    """Say that the connection is not known, and end the link."""
    with contextlib.suppress(OSError):
        link.sendall(_ANSWER.pack(False, 0))
    shut(link)


def shut(each: Any) -> None:
    """End a connection, also for a thread that waits for it; None: nothing."""
    if each is None:
        return
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        each.close()


def _exactly(link: Any, bytes_: int) -> bytes:
    found = bytearray()
    while len(found) < bytes_:
        piece = link.recv(bytes_ - len(found))
        if not piece:
            raise ConnectionError("the link has ended")
        found += piece
    return bytes(found)
