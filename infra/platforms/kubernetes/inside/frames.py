"""Frames: a line of JSON and the bytes that it announces, one after another through a pipe."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

LARGEST_BYTES = 2**16
"""Of the bytes of one frame."""
SILENCE_S = 60
"""A program that is run by exec is ended by SIGALRM when its other side has been silent for so
long: it outlives who started it."""
_BYTES = "bytes"


def frame(header: Mapping[str, Any], data: bytes = b"") -> bytes:
    """Return one frame; its header says by ``bytes`` how many follow."""
    told = {**header, _BYTES: len(data)} if data else header
    return json.dumps(told).encode() + b"\n" + data


def write_all(file: int, data: bytes) -> None:
    """Write all of it to an open file, which may take only a part at a time.

    Raises:
        OSError: nobody reads it any more, or there is no room.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def wait_for_reader() -> None:
    """Wait until the other side of this exec has gone, which it does when it has read all.

    What has been written when the process ends may be cut off on its way (tried: of 31 MB the last
    6 were, with exit code 0).
    """
    signal.alarm(SILENCE_S)
    while os.read(0, LARGEST_BYTES):
        pass


class Frames:
    """Takes frames apart that come in pieces of any size."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield the header and the bytes of every frame that is complete with this piece.

        Raises:
            ValueError: these are no frames.
        """
        self._rest += piece
        while (end := self._rest.find(b"\n")) >= 0:
            header = json.loads(bytes(self._rest[:end]))
            if not isinstance(header, dict):
                raise ValueError(f"no header of a frame: {header!r}")
            until = end + 1 + int(header.pop(_BYTES, 0))
            if len(self._rest) < until:
                return
            data = bytes(self._rest[end + 1 : until])
            del self._rest[:until]
            yield header, data
