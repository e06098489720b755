"""Which process it is: told apart from a later one with its number, alive or not, what it was told.

Standard library and values only: the guard of a cluster uses it when all else has died.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import socket
import time
from functools import cache
from pathlib import Path

from ebbtide.infra.models.records import ProcessRef
from ebbtide.infra.waiting import wall_s


def this_process() -> ProcessRef:
    """The process that calls."""
    pid = os.getpid()
    return ProcessRef(pid, started_ticks(pid))


def lives(process: ProcessRef | None) -> bool:
    """Whether this very process lives on this machine; None does not."""
    return process is not None and not process.machine and alive(process.pid, process.started)


def may_live(process: ProcessRef | None) -> bool:
    """Whether this very process lives, or is on another machine, where that cannot be seen."""
    return process is not None and (bool(process.machine) or lives(process))


@cache
def this_machine() -> str:
    """The name of this machine, told apart from others with its host name; a reboot keeps it."""
    try:
        number = Path("/etc/machine-id").read_bytes()
    except OSError:
        number = b""
    return f"{socket.gethostname()}/{hashlib.sha256(number).hexdigest()[:8]}"


def alive(pid: int | None, started: float | None = None) -> bool:
    """Whether this very process lives: same pid, same start (ticks since boot), not a zombie."""
    if pid is None or pid <= 0:
        return False
    stat = stat_of(pid)
    return stat is not None and (started is None or stat[2] == int(started))


def started_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone."""
    stat = stat_of(pid)
    return stat[2] if stat else 0


def started_at(pid: int) -> float | None:
    """When a process started, in Unix seconds, to a hundredth; None when it is gone."""
    ticks = started_ticks(pid)
    if not ticks:
        return None
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return wall_s() - age_s


def all_pids() -> list[int]:
    """All processes that can be seen."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def started_with(name: str, value: str) -> list[int]:
    """Living processes of this user that had this variable when they were started."""
    wanted = os.fsencode(f"{name}={value}")
    return [pid for pid in all_pids() if wanted in _variables(pid) and stat_of(pid) is not None]


def ebb_variables(pid: int) -> dict[str, str]:
    """What a process has in its environment of ours (``EBB_…``); empty when that is not seen."""
    pairs = (item.partition(b"=") for item in _variables(pid) if item.startswith(b"EBB_"))
    return {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}


def _variables(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def stat_of(pid: int) -> tuple[str, int, int] | None:
    """State, parent and start of a living process; None for one that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return fields[0], int(fields[1]), int(fields[19])


def signal_quietly(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has gone meanwhile is what was wanted."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
