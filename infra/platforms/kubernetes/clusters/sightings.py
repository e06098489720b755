"""What was seen of Leases, from one command to the next on this machine: ``EBB_HOME/leases.json``.

Where no reaper watches a namespace, no process lives as long as a Lease lasts, and each would begin
to judge anew. All times are of this machine's monotonic clock, which no other boot shares.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ebbtide.infra.files.private import write_whole
from ebbtide.infra.platforms.kubernetes.clusters.fencing import recall, seen_so_far
from ebbtide.infra.policy.lease import LONGEST_S, LeaseJudge
from ebbtide.infra.waiting import now_s

_FILE = "leases.json"
_BOOT = "/proc/sys/kernel/random/boot_id"
_CLOCK = "/proc/self/ns/time"
_MAX_LEASES = 500


@contextlib.contextmanager
def remembered(home: Path) -> Iterator[None]:
    """Judge Leases in the block from where the last command has stopped, and write down how far.

    Args:
        home: of this installation. Nothing is written where there is none yet, or on a full disk.

    Yields:
        Nothing.
    """
    path = home / _FILE
    before = _read(path)
    recall(before)
    yield
    seen = {**before, **seen_so_far()}
    if seen:
        _write(path, seen)


def _read(path: Path) -> dict[str, LeaseJudge]:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        told = json.loads(path.read_text())
        if told["clock"] == _clock():
            return {uid: LeaseJudge(**each) for uid, each in told["leases"].items()}
    return {}


def _write(path: Path, seen: Mapping[str, LeaseJudge]) -> None:
    """Leases that nobody has looked at for long are forgotten."""
    recent = sorted(seen.items(), key=lambda each: each[1].asked_s)[-_MAX_LEASES:]
    leases: dict[str, Any] = {
        uid: {
            "duration_s": judge.duration_s,
            "renewals": judge.renewals,
            "since_s": judge.since_s,
            "asked_s": judge.asked_s,
        }
        for uid, judge in recent
        if now_s() - judge.asked_s < LONGEST_S
    }
    with contextlib.suppress(OSError):
        write_whole(path, json.dumps({"clock": _clock(), "leases": leases}))


def _clock() -> str:
    """Tells apart whose monotonic seconds these are."""
    with contextlib.suppress(OSError):
        return f"{Path(_BOOT).read_text().strip()} {os.readlink(_CLOCK)}"
    return Path(_BOOT).read_text().strip()
