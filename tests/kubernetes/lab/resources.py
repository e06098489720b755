"""What a lab takes of its machine: memory, and a share of a core. Measured, not estimated."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from pathlib import Path

from tests.kubernetes.lab import namespace
from tests.kubernetes.lab.place import Lab

MOST_MIB = 2048
"""An idle lab of both levels stays under this."""
MOST_SHARE = 0.4
"""And under this share of one core. Printed and not asserted: the machine has other guests."""

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MIB = 2**20


def memory_mib(lab: Lab) -> float:
    """The resident sets of its processes together; what two share counts twice."""
    return sum(_resident_mib(pid) for pid in namespace.processes(lab))


def core_share(lab: Lab, seconds: float) -> float:
    """How much of one core it takes, seen over so many seconds."""
    before = _ticks(lab)
    threading.Event().wait(seconds)
    spent = sum((_ticks(lab) - before).values())
    return spent / _TICKS_A_SECOND / seconds


def _ticks(lab: Lab) -> Counter[int]:
    """CPU time of each process so far."""
    found: Counter[int] = Counter()
    for pid in namespace.processes(lab):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = int(fields[11]) + int(fields[12])
    return found


def _resident_mib(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / _MIB
    except OSError:
        return 0
