"""Following a file that grows: what it has gained since it was last looked at.

What was cut out of it meanwhile (``infra.files.cuts``) is replaced by a line that says
so, whoever reads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ebbtide.infra.files.cuts import cut_of
from ebbtide.infra.models.resources import format_memory

PIECE_BYTES = 2**20
"""Read at a time, so that a flood does not come into memory at once."""


class Tail:
    """What a file has gained since it was last looked at."""

    def __init__(self, path: Path):
        self._path = path
        self._offset = 0
        self._mid_line = False

    def read(self, max_bytes: int = PIECE_BYTES) -> bytes:
        """New bytes, at most so many, to the end of a line where there are more; empty: none."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(max_bytes)
            return self._past_a_cut(data, full=len(data) == max_bytes)
        return b""

    def pieces(self) -> Iterator[bytes]:
        """All there is now, piece by piece."""
        while data := self.read():
            yield data

    def skip(self, keep_bytes: int) -> int:
        """Go on with the last so many bytes, from the beginning of a line.

        Returns how many were left out: none when there is not much more than that.
        """
        with contextlib.suppress(OSError), self._path.open("rb") as file:
            target = self._path.stat().st_size - keep_bytes
            if target - self._offset < keep_bytes:
                return 0
            file.seek(target)
            target += file.read(keep_bytes).find(b"\n") + 1
            skipped, self._offset = target - self._offset, target
            return skipped
        return 0

    def _past_a_cut(self, data: bytes, *, full: bool) -> bytes:
        """A cut is written down before it is made: what was read before the note is looked for."""
        cut = cut_of(self._path)
        if cut is not None and self._offset < cut.end and self._offset + len(data) > cut.start:
            if self._offset >= cut.start:
                message = f"… {format_memory(cut.end - self._offset)} cut here: {cut.why}\n"
                self._offset = cut.end
                newline, self._mid_line = "\n" * self._mid_line, False
                return (newline + message).encode()
            data, full = data[: cut.start - self._offset], False
        if full:
            data = data[: data.rfind(b"\n") + 1] or data
        self._offset += len(data)
        if data:
            self._mid_line = not data.endswith(b"\n")
        return data


def last_bytes(path: Path, max_bytes: int) -> bytes:
    """The end of a file, without what was cut out of it; empty when it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        start = max(0, path.stat().st_size - max_bytes)
        file.seek(start)
        data = file.read(max_bytes)
        cut = cut_of(path)
        return data[max(0, cut.end - start) :] if cut is not None and cut.end > start else data
    return b""
