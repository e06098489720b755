"""Finding and ending processes by the mark they carry, independently of any record of ours.

Every process of a cluster has ``EBB_CLUSTER`` and ``EBB_HOME`` in its environment, and so have its
children and theirs. Standard library and values only: the guard uses it when all else has died.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import ProcessRef
from ebbtide.infra.platforms.local import tree

CLUSTER, HOME, RUN, ROLE, PROCESS = "EBB_CLUSTER", "EBB_HOME", "EBB_RUN", "EBB_ROLE", "EBB_PROCESS"
"""A program inherits them, so none may be the variable of an option of a nested ``ebb run``."""

_PATIENCE_S = 15.0


@dataclass(frozen=True, slots=True)
class Marked:
    """A living process that carries a mark."""

    pid: int
    started_ticks: int
    """Clock ticks since boot; with the pid it names one process for ever."""
    cluster: ClusterId
    role: str
    name: str
    parent: int

    @property
    def age_s(self) -> float:
        """Seconds since it started."""
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return uptime_s - self.started_ticks / os.sysconf("SC_CLK_TCK")


def mark(home: Path, run: RunName, cluster: ClusterId, role: str, name: str) -> dict[str, str]:
    """Return the environment variables by which a process of a cluster is found.

    Args:
        home: of this installation.
        run: whose cluster it is.
        cluster: its id.
        role: ``head``, ``worker``, ``driver`` or ``supervisor``.
        name: of the process, such as ``worker-0``.

    Returns:
        The variables, to be added to the environment of the process.
    """
    return {HOME: str(home), RUN: run, CLUSTER: cluster, ROLE: role, PROCESS: name}


def marked(home: Path, cluster: ClusterId | None = None) -> list[Marked]:
    """Living processes of this installation that belong to a cluster (or to any)."""
    found = []
    for pid in all_pids():
        environment = _environment(pid)
        if environment.get(HOME) != str(home) or not environment.get(CLUSTER):
            continue
        if cluster is not None and environment[CLUSTER] != cluster:
            continue
        stat = _stat(pid)
        if stat is not None:
            role, name = environment.get(ROLE, ""), environment.get(PROCESS, "")
            id_ = ClusterId(environment[CLUSTER])
            found.append(Marked(pid, stat[2], id_, role, name, stat[1]))
    return found


def role_of(pid: int) -> str:
    """What a process of ours is (guard, supervisor, …); empty for any other."""
    return _environment(pid).get(ROLE, "")


def home_of(pid: int) -> str:
    """The installation a process belongs to; empty when it belongs to none, or is another's."""
    return _environment(pid).get(HOME, "")


def started_with(name: str, value: str) -> list[int]:
    """Living processes of this user that had this variable when they were started."""
    wanted = os.fsencode(f"{name}={value}")
    return [pid for pid in all_pids() if wanted in _variables(pid) and _stat(pid) is not None]


def alive(pid: int | None, started: float | None = None) -> bool:
    """Whether this very process lives: same pid, same start (ticks since boot), not a zombie."""
    if pid is None or pid <= 0:
        return False
    stat = _stat(pid)
    return stat is not None and (started is None or stat[2] == int(started))


def lives(process: ProcessRef | None) -> bool:
    """Whether this very process lives; None does not."""
    return process is not None and alive(process.pid, process.started)


def this_process() -> ProcessRef:
    """The process that calls."""
    pid = os.getpid()
    return ProcessRef(pid, started_ticks(pid))


def started_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when it is gone."""
    stat = _stat(pid)
    return stat[2] if stat else 0


def descendants(pids: Iterable[int]) -> set[int]:
    """All living processes below these, found by parentage (they may have dropped the mark)."""
    found = tree.table()
    return {pid for pid in tree.below(found, pids) if not found[pid].gone}


def signal_quietly(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has gone meanwhile is what was wanted."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def sweep(
    home: Path,
    cluster: ClusterId,
    folder: Path,
    *,
    spare: frozenset[int],
    my_children: bool = False,
) -> list[Marked]:
    """Kill what carries the cluster's mark or descends from it, and delete its folder.

    All of it is stopped first, so that nothing can make new processes faster than it is ended.

    Args:
        home: the installation.
        cluster: whose.
        folder: the cluster's own folder; gone afterwards.
        spare: process ids to leave alone (the caller itself).
        my_children: end the caller's own descendants too; for callers that own nothing else.

    Returns:
        What is left: empty, unless it has not become less for 15 seconds.
    """
    known: dict[tuple[int, int], bool] = {}

    def doomed(found: tree.Table) -> set[int]:
        roots = {os.getpid()} if my_children else set()
        for process in found.values():
            if process.key not in known:
                environment = _environment(process.pid)
                mine = environment.get(CLUSTER) == cluster and environment.get(HOME) == str(home)
                known[process.key] = mine
            if known[process.key]:
                roots.add(process.pid)
        return (roots | tree.below(found, roots)) - spare

    def remaining() -> list[Marked]:
        return [process for process in marked(home, cluster) if process.pid not in spare]

    while not tree.end(doomed, patience_s=_PATIENCE_S) and remaining():
        known.clear()  # it was looked at in the moment that it became another program
    if my_children:
        _reap_children()
    shutil.rmtree(folder, ignore_errors=True)
    return remaining()


def _reap_children() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def all_pids() -> list[int]:
    """All processes that can be seen."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _environment(pid: int) -> dict[str, str]:
    pairs = (item.partition(b"=") for item in _variables(pid) if item.startswith(b"EBB_"))
    return {os.fsdecode(key): os.fsdecode(value) for key, _, value in pairs}


def _variables(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> tuple[str, int, int] | None:
    """State, parent and start of a living process; None for one that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    if fields[0] in ("Z", "X"):
        return None
    return fields[0], int(fields[1]), int(fields[19])
