"""CPU and memory of process trees, as figures for the autoscaler and the limits."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from ebbtide.infra.platforms.local import tree
from ebbtide.infra.waiting import now_s as clock_s

_WINDOW_S = 5.0
"""CPU is averaged over this long, so that one busy tick is not load."""
_SAME_TIME_S = 0.1


@dataclass(slots=True)
class TreeMeter:
    """Measures one process and everything below it."""

    pid: int
    peak_memory_bytes: int = 0
    memory_bytes: int = 0
    largest_pid: int = 0
    """The process with the most memory of its own: the one a kernel short of memory would end."""
    _samples: deque[tuple[float, float]] = field(default_factory=deque)

    def sample(self, now_s: float, *, fresh: bool = False) -> None:
        """Take one measurement. A process that has gone counts as nothing from then on."""
        cpu_s, memory, self.largest_pid = _tree(self.pid, fresh=fresh)
        if self._samples:
            cpu_s = max(cpu_s, self._samples[-1][1])  # a child that ended took its seconds along
        self._samples.append((now_s, cpu_s))
        while len(self._samples) > 2 and now_s - self._samples[1][0] >= _WINDOW_S:
            self._samples.popleft()
        self.memory_bytes = memory
        self.peak_memory_bytes = max(self.peak_memory_bytes, memory)

    def sample_the_end(self, now_s: float) -> None:
        """One more measurement when the process has ended and nobody has waited for it yet.

        Until then the system keeps its CPU seconds; without this the last ones would be lost.
        """
        with contextlib.suppress(ChildProcessError):
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self.sample(now_s, fresh=True)

    @property
    def key(self) -> int:
        """See ``infra.platforms.upkeep.usage.Meter``."""
        return self.pid

    @property
    def cpu_s(self) -> float:
        """Core-seconds used so far, as of the last measurement."""
        return self._samples[-1][1] if self._samples else 0.0

    @property
    def cores(self) -> float | None:
        """Average number of cores in use over the last seconds; None before a second sample."""
        if len(self._samples) < 2:
            return None
        (first_s, first_cpu), (last_s, last_cpu) = self._samples[0], self._samples[-1]
        return (last_cpu - first_cpu) / max(last_s - first_s, 1e-6)


def _tree(pid: int, *, fresh: bool) -> tuple[float, int, int]:
    """CPU seconds (user and system, ended children included), resident bytes, largest process.

    What processes share (libraries, Ray's object store) is counted once, as a cgroup would: each
    process's own pages, and the largest mapped and the largest shared amount of any of them.
    """
    mapped, shared = 0, 0
    own: dict[int, int] = {}
    found = tree.table() if fresh else _TABLES.recent()
    members = [found[each] for each in (pid, *tree.below(found, (pid,))) if each in found]
    for process in members:
        with contextlib.suppress(OSError):
            pages = _resident(process.pid)
            own[process.pid] = pages["RssAnon"]
            mapped = max(mapped, pages["RssFile"])
            shared = max(shared, pages["RssShmem"])
    largest = max(own, key=lambda pid: own[pid], default=pid)
    cpu_s = sum(process.cpu_s for process in members)
    return cpu_s, sum(own.values()) + mapped + shared, largest


class _Tables:
    """One reading of the process table for all meters that look at about the same time."""

    def __init__(self) -> None:
        self._found: tree.Table = {}
        self._at_s = -_SAME_TIME_S

    def recent(self) -> tree.Table:
        """As it was a moment ago."""
        if clock_s() - self._at_s >= _SAME_TIME_S:
            self._found, self._at_s = tree.table(), clock_s()
        return self._found


_TABLES = _Tables()


def _resident(pid: int) -> dict[str, int]:
    """Resident bytes by kind (proc(5): RssAnon, RssFile, RssShmem); zero for one that is ending."""
    pages = {"RssAnon": 0, "RssFile": 0, "RssShmem": 0}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in pages:
            pages[name] = int(rest.split()[0]) * 1024
    return pages
