"""What every test may use: waiting without a fixed sleep, and finding processes by their mark.

Does not belong here: anything that knows one framework, platform or command.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

PROC = Path("/proc")
_FIRST_S, _LONGEST_S = 0.01, 0.25


def wait_until(probe: Callable[[], T], timeout_s: float, why: str) -> T:
    """Call ``probe`` at growing intervals until it gives something true, and return that.

    Raises:
        AssertionError: with ``why`` and the probe's last value when the time is up.
    """
    deadline = time.monotonic() + timeout_s
    interval = _FIRST_S
    while not (value := probe()):
        left = deadline - time.monotonic()
        if left <= 0:
            raise AssertionError(f"not within {timeout_s:g} s: {why} (last seen: {value!r})")
        threading.Event().wait(min(interval, left))
        interval = min(interval * 1.5, _LONGEST_S)
    return value


def watching_threads() -> set[threading.Thread]:
    """Those of this process's watches of the API server, whoever began them."""
    return {thread for thread in threading.enumerate() if thread.name.startswith("watch-")}


@contextlib.contextmanager
def within(timeout_s: float, why: str) -> Iterator[None]:
    """The block is given up, as a failure, when it takes longer; for the main thread only.

    Raises:
        AssertionError: with ``why`` when the time is up.
    """

    def give_up(*_: object) -> None:
        raise AssertionError(f"not within {timeout_s:g} s: {why}")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True, slots=True)
class MarkedProcess:
    """A living process that was started with the mark."""

    pid: int
    command: str


def marked_processes(home: Path) -> list[MarkedProcess]:
    """Every living process whose environment says ``EBB_HOME=<home>``; this one never counts."""
    mark = f"EBB_HOME={home}".encode()
    pids = sorted(int(folder.name) for folder in PROC.iterdir() if folder.name.isdigit())
    return [
        MarkedProcess(pid, command)
        for pid in pids
        if pid != os.getpid() and (command := _command_if_marked(pid, mark)) is not None
    ]


def end_marked_processes(home: Path, timeout_s: float = 10.0) -> list[MarkedProcess]:
    """Kill them by pid until there is none, also those they start meanwhile; gives all it met."""
    met: dict[int, MarkedProcess] = {}

    def none_left() -> bool:
        left = marked_processes(home)
        for process in left:
            met[process.pid] = process
            _kill(process.pid)
        return not left

    wait_until(none_left, timeout_s, f"no process of {home} is alive after SIGKILL")
    return list(met.values())


def stop_outside_locks(pid: int, timeout_s: float = 10.0) -> None:
    """Send SIGSTOP to a process of ours where it holds no lock for writing, of a file or database.

    It stands for a process that hangs or is slow; one stopped within a transaction would keep
    everybody else from writing too, which no slow process does.
    """

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: _state(pid) == "T", timeout_s, f"process {pid} is stopped")
        if not _locks_for_writing(pid):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_until(stopped, timeout_s, f"process {pid} is stopped where it holds no lock")


def _state(pid: int) -> str:
    return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def _locks_for_writing(pid: int) -> list[str]:
    """Its lines of /proc/locks: ``1: POSIX  ADVISORY  WRITE 123 08:01:42 120 120``."""
    lines = (PROC / "locks").read_text().splitlines()
    return [line for line in lines if line.split()[-5:-3] == ["WRITE", str(pid)]]


def _command_if_marked(pid: int, mark: bytes) -> str | None:
    """Its command line; None when it has no mark, is a zombie, has ended or is not ours to see."""
    folder = PROC / str(pid)
    try:
        if mark not in (folder / "environ").read_bytes().split(b"\0"):
            return None
        if (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "ZX":
            return None
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
