"""How much of what a run prints is kept: the beginning and the newest, within ``--max-output``.

All logs of the run's folder count together: the program's, those of programs on a held cluster,
those of head and workers, and those among artifacts. Other artifacts count too, up to a quarter of
the limit (``infra.files.whole``). Programs write to their files directly, so that no process of
ours is between them and what they print; what is too much is taken out of the middle
(``infra.files.cuts``).
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ebbtide.infra.files.cuts import Cut, cut_of, make_cut
from ebbtide.infra.files.whole import WholeFiles
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.run_folder import ARTIFACTS
from ebbtide.infra.waiting import now_s, wait_until

_KEPT_SHARE = 0.75
"""Of the limit, after a cut: the next one comes when the last quarter is full again."""
_HEAD_SHARE = 2 / 3
"""Of what is kept of a file: its beginning; with the above, half of the limit."""
_ARTIFACTS_PART = 4
"""Artifacts that are no logs may take the limit divided by this."""
FRESH_S = 2.0
"""What was written within this time is left for those who follow the file, up to the next."""
FRESH_BYTES = 64 * 2**20
_LIST_EVERY_S = 1.0
_SEEK_LINE_BYTES = 2**16
_SPARE_BYTES, _SPARE_SHARE = 256 * 2**20, 0.05
"""Of the disk, the smaller one: output leaves so much to all others, whatever its limit."""
_MIN_BYTES, _MIN_SHARE = 16 * 2**20, 0.1
"""A full disk takes no more of a run's output than what is above the smaller one."""
_FAST_PART = 1 / 32
"""Of the spared room a second: whoever prints faster has filled the disk, or will."""
_FAST_MEMORY_S = 30.0


@dataclass(slots=True)
class _File:
    """One log as it was last seen."""

    path: Path
    size: int = 0
    cut: Cut | None = None
    seldom: bool = False
    """Whether it is looked at once a second only: nobody follows it, and there are many."""
    seen: deque[tuple[float, int]] = field(default_factory=deque)
    """When it had which size, for what is fresh."""

    @property
    def kept(self) -> int:
        """Bytes that are really there."""
        return self.size - (self.cut.end - self.cut.start if self.cut else 0)

    def look(self, at_s: float) -> None:
        """Its size now."""
        with contextlib.suppress(OSError):
            self.size = os.stat(self.path).st_size
        self.seen.append((at_s, self.size))
        while len(self.seen) > 1 and at_s - self.seen[1][0] >= FRESH_S:
            self.seen.popleft()

    @property
    def fresh(self) -> int:
        """Bytes that came within the last seconds."""
        return self.size - self.seen[0][1]

    def old(self, at_s: float) -> int:
        """How much of it is not fresh."""
        first_s, size = self.seen[0]
        return max(size if at_s - first_s >= FRESH_S else 0, self.size - FRESH_BYTES)


def level_of(sizes: Iterable[int], limit: int) -> int:
    """How much of each file may be kept, so that together they keep the limit: small ones all."""
    left, sorted_sizes = limit, sorted(sizes)
    for number, size in enumerate(sorted_sizes):
        share = left // (len(sorted_sizes) - number)
        if size > share:
            return share
        left -= size
    return limit


class OutputWatch:
    """Looks at the logs of one run and cuts what is too much."""

    def __init__(self, folder: Path, limit: int | None):
        self.failed = ""
        """Why the limit cannot be kept here; the program has to end then."""
        self._folder = folder
        self._limit = limit
        self._files: dict[Path, _File] = {}
        self._listed_s = -_LIST_EVERY_S
        self._fast_s = -_FAST_MEMORY_S
        self._artifacts = WholeFiles(folder / ARTIFACTS)
        self._told: set[str] = set()

    def look(self) -> str:
        """Look once; returns what is to be said, the first time that something was cut."""
        at_s = now_s()
        listed = at_s - self._listed_s >= _LIST_EVERY_S
        if listed:
            self._listed_s = at_s
            self._list()
        for file in self._files.values():
            if listed or not file.seldom:
                file.look(at_s)
        limit, cause = self._limit_now(at_s)
        if limit is None:
            return ""
        why = f"more than --max-output {format_memory(cause)}" if cause else "the disk is full"
        said = []
        if listed and self._artifacts.keep_within(limit // _ARTIFACTS_PART):
            part = why.replace("more than", "more than a quarter of")
            said.append(f"artifacts: {part}; their oldest files are emptied")
        room = max(limit // 2, limit - self._artifacts.bytes_)
        if self._total() > limit and self._cut_all(room, cause, at_s):
            said.append(
                f"output: {why}; the middle of what was printed is cut from the run's folder"
            )
        return "; ".join(message for message in said if self._is_new(message))

    def _cut_all(self, limit: int, cause: int | None, at_s: float) -> bool:
        """Whether something more of any log has gone."""
        kept = [file.kept for file in self._files.values()]
        level = level_of(kept, int(limit * _KEPT_SHARE))
        return any([self._cut(file, level, cause or 0, at_s) for file in self._files.values()])

    def _is_new(self, message: str) -> bool:
        """Whether this kind of message has not been said yet."""
        kind = message.partition(":")[0]
        new = kind not in self._told
        self._told.add(kind)
        return new

    def finish(self) -> str:
        """When nobody prints any more: those who follow get what is left of their time first.

        Returns what is to be said, as ``look`` does.
        """
        if self._limit is None:
            return ""
        self._listed_s = -_LIST_EVERY_S
        limit, said = self._limit, []

        def settled() -> bool:
            said.append(self.look())
            return self.failed != "" or self._total() <= limit

        wait_until(settled, timeout_s=2 * FRESH_S)
        return "".join(said)

    def _list(self) -> None:
        self._artifacts.list()
        printed = (*self._folder.glob("*.log"), *self._folder.glob("programs/*/*.log"))
        found = {**dict.fromkeys(self._artifacts.logs, True), **dict.fromkeys(printed, False)}
        for path, seldom in found.items():
            if path not in self._files:
                self._files[path] = _File(path, cut=cut_of(path), seldom=seldom)
        for path in self._files.keys() - found:  # moved, as who rotates a log does
            del self._files[path]

    def _total(self) -> int:
        return sum(file.kept for file in self._files.values()) + self._artifacts.bytes_

    def _limit_now(self, at_s: float) -> tuple[int | None, int | None]:
        """What may be kept, and the option's limit if it is that; less where the disk is full.

        Only of a run that prints fast: what the others have printed did not fill the disk.
        """
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return self._limit, self._limit
        whole, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
        spare = min(_SPARE_BYTES, whole * _SPARE_SHARE)
        if sum(file.fresh for file in self._files.values()) > spare * _FAST_PART * FRESH_S:
            self._fast_s = at_s
        missing = spare - free
        if missing <= 0 or at_s - self._fast_s > _FAST_MEMORY_S:
            return self._limit, self._limit
        minimum = min(_MIN_BYTES, whole * _MIN_SHARE)
        room = int(max(minimum, self._total() - missing))
        if self._limit is None or room < self._limit:
            return room, None
        return self._limit, self._limit

    def _cut(self, file: _File, level: int, cause: int, at_s: float) -> bool:
        """Whether something more of this file has gone."""
        if file.kept <= level:
            return False
        start, head = int(level * _HEAD_SHARE), file.cut.start if file.cut else file.size
        end = min(file.size - (level - start), file.old(at_s) if cause else file.size)
        with contextlib.suppress(OSError):
            end = _line_after(file.path, end)
            start = head if head <= start else _line_before(file.path, start)
            cut = Cut(start, max(end, file.cut.end if file.cut else 0), cause)
            if cut.end <= cut.start or cut == file.cut:
                return False
            if not make_cut(file.path, cut):
                self.failed = "this file system cannot take the middle out of a file"
                return False
            file.cut = cut
            return True
        return False


def _line_before(path: Path, offset: int) -> int:
    """Where the line that stands there begins; the offset itself in a very long one."""
    with path.open("rb") as file:
        first = max(0, offset - _SEEK_LINE_BYTES)
        file.seek(first)
        newline = file.read(offset - first).rfind(b"\n")
    return offset if newline < 0 else first + newline + 1


def _line_after(path: Path, offset: int) -> int:
    """Where the line after that begins; the offset itself in a very long one."""
    if offset <= 0:
        return offset
    with path.open("rb") as file:
        file.seek(offset)
        newline = file.read(_SEEK_LINE_BYTES).find(b"\n")
    return offset if newline < 0 else offset + newline + 1
