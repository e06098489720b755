"""A folder of files that are kept whole: beyond its limit the oldest go first.

A report or an event log cannot be cut in its middle like text. A file that goes is emptied and
keeps its name: those who write series of files count on none to be missing (Spark's history server
reads no event log with a gap in its numbers). For the same reason the first and the last file of a
folder go after all others: one says what it is about, the other is being written.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.kept import is_log

_KEPT_SHARE = 0.75
"""Of the limit, after something was emptied: the next time comes when the rest is full again."""
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Whole:
    """One file as it was last seen."""

    path: Path
    bytes_: int
    """That the disk has of it."""
    changed: float


def to_empty(found: Iterable[Whole], limit: int) -> list[Whole]:
    """Choose what must go so that the rest is within the limit.

    Args:
        found: what there is.
        limit: in bytes.

    Returns:
        None while all together are within the limit; else so many that there is room again.
    """
    files = sorted((file for file in found if file.bytes_), key=lambda file: file.changed)
    total = sum(file.bytes_ for file in files)
    if total <= limit:
        return []
    first = {file.path.parent: file for file in reversed(files)}
    last = {file.path.parent: file for file in files}
    ends = {*first.values(), *last.values()}
    doomed = []
    for file in sorted(files, key=lambda file: file in ends):
        if total <= limit * _KEPT_SHARE:
            break
        doomed.append(file)
        total -= file.bytes_
    return doomed


class WholeFiles:
    """Looks at the files of a folder that are no logs, and empties what is too much."""

    def __init__(self, folder: Path):
        self.logs: list[Path] = []
        """The logs among them, which can be cut in their middle (``infra.files.cuts``)."""
        self.bytes_ = 0
        """Of all others together."""
        self._folder = folder
        self._found: list[Whole] = []

    def list(self) -> None:
        """Find out what there is."""
        self.logs, self._found = [], []
        for where, _, names in os.walk(self._folder):
            for path in (Path(where, name) for name in names):
                with contextlib.suppress(OSError):
                    self._note(path, path.lstat())
        self.bytes_ = sum(file.bytes_ for file in self._found)

    def keep_within(self, limit: int) -> bool:
        """Empty what was found beyond the limit, in bytes. Returns whether anything was."""
        doomed = to_empty(self._found, limit)
        for file in doomed:
            with contextlib.suppress(OSError):
                os.truncate(file.path, 0)
        if doomed:
            self.list()
        return bool(doomed)

    def _note(self, path: Path, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            return
        if is_log(path):
            self.logs.append(path)
            return
        bytes_ = min(found.st_size, found.st_blocks * _BLOCK_BYTES)
        self._found.append(Whole(path, bytes_, found.st_mtime))
