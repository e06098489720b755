"""What clusters of other users hold of this machine, as far as one can see.

Each supervisor says it in its own process name (``/proc/PID/comm``), which everybody may read and
nobody else can write; ``top`` shows it too. It is a claim and no reservation: whoever likes can
name a process so, hence others' claims are shown, with the user's name, and block nobody.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ebbtide.infra.files.private import user_name
from ebbtide.infra.models.hardware import Claim, Neighbours
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.processes.identity import all_pids

_LONGEST = 15
"""Bytes the kernel keeps of a process's name."""
_GIB = 2**30
_CLAIM = re.compile(r"ebb (\d{1,6}(?:\.\d{1,3})?)c (\d{1,6}(?:\.\d)?)g", re.ASCII)
HIDDEN = "other users' processes cannot be seen here, nor what their clusters hold (hidepid)"


def say_what_is_held(amount: Resources) -> None:
    """Let everybody see what this process, a cluster's supervisor, holds."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name_for(amount))


def name_for(amount: Resources) -> str:
    """Such as ``ebb 1.25c 4.6g``."""
    cores, gib = amount.cpu_millis / 1000, amount.memory_bytes / _GIB
    cpu = f"{cores:.0f}" if cores >= 100 else f"{cores:.3g}"
    memory = f"{gib:.0f}" if gib >= 10 else f"{gib:.1f}"
    return f"ebb {cpu}c {memory}g"[:_LONGEST]


def read_name(name: str) -> Resources | None:
    """What a process of this name claims; None when that is nothing."""
    found = _CLAIM.fullmatch(name)
    if found is None:
        return None
    return Resources(round(1000 * float(found[1])), round(_GIB * float(found[2])))


def neighbours(home: Path) -> Neighbours:
    """What is held beside this installation, by user."""
    me = os.getuid()
    found: dict[int, list[Resources]] = {}
    for pid in all_pids():
        amount = read_name(_name_of(pid))
        uid = _user_of(pid) if amount is not None else None
        if amount is None or uid is None:
            continue
        if uid != me or marks.home_of(pid) not in ("", str(home)):
            found.setdefault(uid, []).append(amount)
    claims = (_claim(uid, amounts, mine=uid == me) for uid, amounts in sorted(found.items()))
    return Neighbours(tuple(claims), hidden="" if _name_of(1) else HIDDEN)


def _claim(uid: int, amounts: Iterable[Resources], *, mine: bool) -> Claim:
    listed = list(amounts)
    return Claim(user_name(uid), len(listed), sum(listed, start=NOTHING), mine)


def _name_of(pid: int) -> str:
    """Empty when it is gone, or not ours to see."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        return ""


def _user_of(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("Uid:")), None)
