"""All processes of this machine at one moment, by parentage; stopping and ending a tree of them.

One reading of ``/proc/*/stat``, which costs a tenth of what reading environments costs. Standard
library only: the guard uses it when all else has died.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from infra.waiting import now_s, pause

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GONE, _STOPPED = "ZX", "tT"
_DYING_S = 0.005
"""Given to killed processes before they are counted again."""


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table; a zombie is in it too."""

    pid: int
    state: str
    parent: int
    group: int
    cpu_s: float
    """User and system, ended children included."""
    started_ticks: int

    @property
    def gone(self) -> bool:
        """It has ended, and only its parent has not been told."""
        return self.state in _GONE


Table = Mapping[int, Process]


def table() -> dict[int, Process]:
    """All of this machine's."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            process = process_of(int(entry))
            if process is not None:
                found[process.pid] = process
    return found


def process_of(pid: int) -> Process | None:
    """One process; None when there is none."""
    try:
        file = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            raw = os.read(file, 4096)
        finally:
            os.close(file)
    except OSError:
        return None
    words = raw[raw.rfind(b")") + 2 :].split(None, 20)
    if len(words) < 20:
        return None
    ticks = int(words[11]) + int(words[12]) + int(words[13]) + int(words[14])
    state, parent, group = words[0].decode(), int(words[1]), int(words[2])
    return Process(pid, state, parent, group, ticks / _TICKS_PER_S, int(words[19]))


def below(found: Table, roots: Iterable[int]) -> set[int]:
    """Everything in the table that descends from these, zombies too; they themselves are not."""
    children: dict[int, list[int]] = {}
    for process in found.values():
        children.setdefault(process.parent, []).append(process.pid)
    descendants: set[int] = set()
    todo = list(roots)
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in descendants:
                descendants.add(child)
                todo.append(child)
    return descendants


def freeze(doomed: Callable[[Table], Collection[int]], *, timeout_s: float = 10.0) -> set[int]:
    """Stop processes, so that none of them makes another one while they are ended.

    Looked at again and again until no new one is found. Whole process groups are stopped at once:
    the kernel lets no fork of a member slip through.

    Args:
        doomed: which ones of the table; all members of their groups must be among them, except
            for the group of this process.
        timeout_s: when to give up and take what there is.

    Returns:
        All that were found, stopped.
    """
    deadline, mine = now_s() + timeout_s, os.getpgrp()
    met: set[tuple[int, int]] = set()
    while True:
        found = table()
        pids = doomed(found)
        new = [found[pid] for pid in pids if (pid, found[pid].started_ticks) not in met]
        new = [process for process in new if not process.gone]
        met.update((process.pid, process.started_ticks) for process in new)
        for group in {process.group for process in new} - {mine, 0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGSTOP)
        for process in new:
            if process.state not in _STOPPED:
                _signal(process.pid, signal.SIGSTOP)
        if not new or now_s() > deadline:
            return set(pids)


def end(doomed: Callable[[Table], Collection[int]], *, timeout_s: float = 10.0) -> set[int]:
    """Stop, then kill; gives what lives even so."""
    deadline = now_s() + timeout_s
    while True:
        for pid in freeze(doomed, timeout_s=max(0.0, deadline - now_s())):
            _signal(pid, signal.SIGKILL)
        pause(_DYING_S)
        found = table()
        left = {pid for pid in doomed(found) if not found[pid].gone}
        if not left or now_s() > deadline:
            return left


def threads_of_machine() -> int:
    """How many threads there are on the machine: never fewer than processes anywhere on it."""
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[3].partition(b"/")[2])


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
