"""All processes of this machine at one moment, by parentage; stopping and ending a tree of them.

One reading of ``/proc/*/stat``, which costs a tenth of what reading environments costs. Standard
library only: the guard uses it when all else has died.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ebbtide.infra.waiting import now_s, pause

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
    def key(self) -> tuple[int, int]:
        """Names one process for ever."""
        return self.pid, self.started_ticks

    @property
    def gone(self) -> bool:
        """It has ended, and only its parent has not been told."""
        return self.state in _GONE


Table = Mapping[int, Process]
Doomed = Callable[[Table], Collection[int]]


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
    fields = raw[raw.rfind(b")") + 2 :].split(None, 20)
    if len(fields) < 20:
        return None
    ticks = int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
    state, parent, group = fields[0].decode(), int(fields[1]), int(fields[2])
    return Process(pid, state, parent, group, ticks / _TICKS_PER_S, int(fields[19]))


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


def freeze(doomed: Doomed, *, timeout_s: float = 10.0) -> int:
    """Stop processes, so that none of them makes another one while they are ended.

    Looked at again and again until no new one is found.

    Args:
        doomed: which ones of a table; all members of their process groups must be among them,
            except for the group of this process.
        timeout_s: when to give up.

    Returns:
        How many were found in all.
    """
    hunt, deadline_s = _Hunt(doomed), now_s() + timeout_s
    while hunt.stop_new() and now_s() < deadline_s:
        pass
    return hunt.met


def end(doomed: Doomed, *, patience_s: float) -> set[int]:
    """Stop, then kill, until there are none; returns what lives even so.

    Args:
        doomed: which ones of a table, see ``freeze``.
        patience_s: how long to go on while they do not become fewer. Thousands of processes need
            a while to end, because each of them needs its turn on a core for it.
    """
    hunt, fewest, since_s = _Hunt(doomed), sys.maxsize, now_s()
    while True:
        began_s = now_s()
        if not hunt.stop_new():
            hunt.kill()
            if not hunt.living:
                return set()
        if len(hunt.living) < fewest:
            fewest, since_s = len(hunt.living), now_s()
        elif now_s() - since_s > patience_s:
            return hunt.living
        pause(max(_DYING_S, now_s() - began_s) if not hunt.growing else 0.0)


class _Hunt:
    """Processes to be ended: those met so far, and one look at what there is now."""

    def __init__(self, doomed: Doomed):
        self.living: set[int] = set()
        """At the last look."""
        self.growing = False
        self._doomed = doomed
        self._stopped: set[tuple[int, int]] = set()
        self._killed: set[tuple[int, int]] = set()
        self._found: Table = {}

    @property
    def met(self) -> int:
        """How many there have been."""
        return len(self._stopped)

    def stop_new(self) -> bool:
        """Stop those that were not there at the last look; returns whether there were any.

        Whole process groups at once: the kernel lets no fork of a member slip through.
        """
        self._found = table()
        pids = self._doomed(self._found)
        self.living = {pid for pid in pids if pid in self._found and not self._found[pid].gone}
        here = [self._found[pid] for pid in self.living]
        new = [process for process in here if process.key not in self._stopped]
        for group in {process.group for process in new} - {os.getpgrp(), 0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGSTOP)
        for process in new:
            if process.state not in _STOPPED:
                _signal(process.pid, signal.SIGSTOP)
            self._stopped.add(process.key)
        self.growing = bool(new)
        return self.growing

    def kill(self) -> None:
        """Those of the last look, each once."""
        for process in (self._found[pid] for pid in self.living):
            if process.key not in self._killed:
                _signal(process.pid, signal.SIGKILL)
                self._killed.add(process.key)


def threads_of_machine() -> int:
    """How many threads there are on the machine: never fewer than processes anywhere on it."""
    with open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[3].partition(b"/")[2])


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
