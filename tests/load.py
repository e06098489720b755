"""What the users' tasks of these tests do. Workers import it, as they import a user's modules.

To sleep here is to be at work without using the CPU, never to wait for something.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from pathlib import Path


def burn(seconds: float) -> None:
    """Use a core."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def at_work(seconds: float) -> None:
    """Use no CPU."""
    time.sleep(seconds)


def hog(mebibytes: int) -> None:
    """Take memory, touch it, and keep it."""
    held = bytearray(mebibytes * 2**20)
    while True:
        held[::4096] = bytes(len(held) // 4096)


def started(log: str, item: int, seconds: float, size: int = 1000) -> bytes:
    """Note the start in one write, be at work for a while, give something to keep."""
    with open(log, "a") as file:
        file.write(f"{item}\n")
    at_work(seconds)
    return bytes([item % 256]) * size


def starts(log: str | Path) -> Counter[str]:
    """How often each item was started."""
    path = Path(log)
    return Counter(path.read_text().split()) if path.exists() else Counter()


class Total:
    """State that lives on one worker."""

    def __init__(self) -> None:
        self.value = 0

    def add(self, amount: int) -> int:
        """Add, and give what it comes to."""
        self.value += amount
        return self.value


def kill_member(name: str) -> None:
    """Kill -9 all processes of the head or of one worker of this program's cluster."""
    for pid in _pids_of(name):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def tell_member_to_leave(name: str) -> None:
    """SIGTERM for the first process of a worker of this program's cluster, as a drain begins."""
    os.kill(min(_pids_of(name)), signal.SIGTERM)


def _pids_of(name: str) -> list[int]:
    cluster = os.environ["EBB_CLUSTER"]
    mine = {f"EBB_CLUSTER={cluster}".encode(), f"EBB_PROCESS={name}".encode()}
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mine <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(int(folder.name))
    return found
