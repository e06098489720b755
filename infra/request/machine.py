"""How much CPU and memory of this machine this process may use.

A container or a slice of a service manager often allows less than the hardware has, so the limits
of the control groups count too. Does not belong here: what is used at the moment, and who gets it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

from ebbtide.infra.models.resources import Resources


def this_machine(root: Path = Path("/")) -> Resources:
    """Return the cores and the memory that this process may use, the tightest limit of each."""
    groups = list(_groups(root))
    cores = [_cores() * 1000, *(millis for group in groups if (millis := _cpu_millis(group)))]
    memory = [_memory_bytes(), *(limit for group in groups if (limit := _limit_bytes(group)))]
    return Resources(cpu_millis=min(cores), memory_bytes=min(memory))


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # no such call outside Linux
        return os.cpu_count() or 1


def _memory_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups and their parents, versions 1 and 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mount = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for base in (mount, *(mount / name for name in controllers.split(",") if name)):
            folder = base / path.lstrip("/")
            yield from (folder, *(up for up in folder.parents if up.is_relative_to(base)))


def _cpu_millis(group: Path) -> int | None:
    """Return the quota of CPU time in thousandths of a core; None without a limit."""
    quota, period = _numbers(group / "cpu.max", 2)
    if quota is None:
        (quota,) = _numbers(group / "cpu.cfs_quota_us", 1)
        (period,) = _numbers(group / "cpu.cfs_period_us", 1)
    return max(1, math.floor(1000 * quota / period)) if quota and period else None


def _limit_bytes(group: Path) -> int | None:
    (limit,) = _numbers(group / "memory.max", 1)
    return limit or _numbers(group / "memory.limit_in_bytes", 1)[0]


def _numbers(file: Path, count: int) -> list[int | None]:
    """Return the numbers in a file; None for each that is missing or means "no limit"."""
    try:
        parts = file.read_text().split()
    except OSError:
        parts = []
    numbers = [int(part) if part.isdecimal() else None for part in parts[:count]]
    return numbers + [None] * (count - len(numbers))
