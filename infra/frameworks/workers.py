"""What worker processes share that have no event loop.

They are told to leave, find the head, and import what came when their cluster was there already.

Dask's worker does the same in its loop; see there.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from ebbtide.infra.frameworks.plan import fetching_environment, task_modules_of

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
_CONNECT_S = 1.0
_OF_CONTAINER = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
"""Where the kernel counts what it has killed, in its two versions of cgroups."""


class Backoff:
    """Growing pauses until a deadline, or until something happens."""

    def __init__(self, timeout_s: float, happened: threading.Event):
        self._deadline = time.monotonic() + timeout_s
        self._happened = happened
        self._pause_s = _FIRST_PAUSE_S

    def wait(self) -> bool:
        """Let some time pass; False when the time is up or it has happened."""
        happened = self._happened.wait(self._pause_s)
        self._pause_s = min(self._pause_s * 1.5, _LONGEST_PAUSE_S)
        return not happened and time.monotonic() < self._deadline


def told_to_leave() -> threading.Event:
    """An event that is set by SIGTERM, however early it comes. For the main thread.

    A thread sets it: the handler runs between two lines of the main thread, which may just then
    hold the event's own lock.
    """
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=told.set).start())
    return told


def wait_for_head(
    head_file: Path, timeout_s: float, told: threading.Event
) -> dict[str, str] | None:
    """Wait until it is known where the head answers.

    Args:
        head_file: where it is written.
        timeout_s: how long to wait, in seconds.
        told: set when this worker is told to leave.

    Returns:
        What was published; None when it was not in time, or when told to leave before.
    """
    backoff = Backoff(timeout_s, told)
    while not head_file.exists():
        if not backoff.wait():
            return None
    found: dict[str, str] = json.loads(head_file.read_text())
    return found


def listens(address: str) -> str:
    """Where somebody takes connections.

    Args:
        address: host or name, a colon, and the port.

    Returns:
        The same with the number of the host; empty when nobody does, or the name is not known.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), _CONNECT_S) as connection:
            return f"{connection.getpeername()[0]}:{port}"
    except OSError:
        return ""


def wait_until_it_listens(address: str, timeout_s: float, told: threading.Event) -> str:
    """Wait for a head whose address was known before it was there.

    Args:
        address: host or name, a colon, and the port.
        timeout_s: how long to wait, in seconds.
        told: set when this process is told to leave.

    Returns:
        As ``listens``; empty when it did not come in time, or when told to leave before.
    """
    backoff = Backoff(timeout_s, told)
    while not (found := listens(address)):
        if not backoff.wait():
            return ""
    return found


def killed_for_memory() -> int:
    """How many processes of this container the kernel has killed: it was out of memory."""
    for file in _OF_CONTAINER:
        with contextlib.suppress(OSError):
            pairs = dict(line.split() for line in file.read_text().splitlines())
            return int(pairs.get("oom_kill", 0))
    return 0


def import_task_modules() -> None:
    """Fetch the package of the program whose tasks this process runs, and import from it.

    One that does not come is told in the worker's log: tasks that need none of it work.
    """
    modules = task_modules_of(os.environ)
    if modules is None:
        return
    environ = fetching_environment(os.environ)
    fetching = subprocess.run(modules.argv, env=environ, capture_output=True, check=False)
    if fetching.returncode:
        why = fetching.stderr.decode(errors="replace").strip()
        print(f"ebb: modules of the program did not come: {why}", file=sys.stderr, flush=True)
        return
    sys.path[:0] = [folder for folder in modules.folders if folder not in sys.path]
