"""A bounded copy of what a program prints: the last bytes of it, each at the offset it always had.

Segments are files named by the offset of their first byte; the oldest go when there are too many.
Written by one process and read by others of the same pod, through a folder that they share.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from ebbtide.infra.platforms.kubernetes.inside.frames import LARGEST_BYTES, write_all

LIMIT_BYTES = 64 * 2**20
"""Kept of each stream."""
_SEGMENTS = 16
_DIGITS = 20


class Spool:
    """The writing end."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES):
        """Begin at offset 0 in a folder that is made when it is missing."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._limit = limit_bytes
        self._segment = max(1, limit_bytes // _SEGMENTS)
        self._file: int | None = None
        self._start = 0
        self.size = 0
        """Bytes that were written so far, kept or not."""
        self.first_at: float | None = None
        """When the first of them came (Unix time, seconds); None: none has."""

    def write(self, data: bytes) -> None:
        """Add bytes. Where there is no room for them they are left out, as a gap."""
        if self.first_at is None:
            self.first_at = time.time()
        view = memoryview(data)
        while view:
            room = self._start + self._segment - self.size
            if self._file is None or room <= 0:
                self._begin_segment()
                room = self._segment
            piece, view = view[:room], view[room:]
            try:
                write_all(-1 if self._file is None else self._file, bytes(piece))
            except OSError:
                self.close()
            self.size += len(piece)

    def close(self) -> None:
        """Close the segment that is written now."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _begin_segment(self) -> None:
        self.close()
        self._start = self.size
        kept = segments(self._folder)
        while kept and self.size + self._segment - kept[0] > self._limit:
            with contextlib.suppress(OSError):
                path_of(self._folder, kept[0]).unlink()
            kept.pop(0)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            self._file = os.open(path_of(self._folder, self._start), flags, 0o600)


class SpoolReader:
    """The reading end, from any offset on, while it is written or afterwards."""

    def __init__(self, folder: Path, offset: int = 0):
        self._folder = folder
        self._file: int | None = None
        self._start = -1
        self.offset = offset
        """Of the next byte that is read."""

    def read(self, max_bytes: int = LARGEST_BYTES) -> tuple[int, bytes]:
        """Return how many bytes are gone, and some of those that follow; nothing: 0 and empty."""
        if self._file is None:
            gap = self._open()
            return gap, self._some(max_bytes)
        data = self._some(max_bytes)
        if data or not self._following():
            return 0, data
        data = self._some(max_bytes)  # written before the writer went on to the next segment
        if data:
            return 0, data
        self.close()
        gap = self._open()
        return gap, self._some(max_bytes)

    def close(self) -> None:
        """Close the file that is read now."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _some(self, max_bytes: int) -> bytes:
        data = os.read(self._file, max_bytes) if self._file is not None else b""
        self.offset += len(data)
        return data

    def _following(self) -> list[int]:
        return [start for start in segments(self._folder) if start > self._start]

    def _open(self) -> int:
        """Open the segment in which the offset is, or the next one. Returns the gap before it."""
        while True:
            following = self._following()
            holding = [start for start in following if start <= self.offset]
            if not following:
                return 0
            start = holding[-1] if holding else following[0]
            try:
                self._file = os.open(path_of(self._folder, start), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # it has just been given up
                continue
            self._start = start
            gap = max(0, start - self.offset)
            self.offset += gap
            os.lseek(self._file, self.offset - start, os.SEEK_SET)
            return gap


def segments(folder: Path) -> list[int]:
    """Return the offsets at which the segments in a folder begin, the oldest first."""
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdigit())
    except FileNotFoundError:
        return []


def path_of(folder: Path, start: int) -> Path:
    """Return the file of the segment that begins at an offset."""
    return folder / f"{start:0{_DIGITS}d}"
