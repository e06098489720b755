"""The lab's programs: started inside, found again by their mark, stopped, continued, killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.helpers import wait_until
from tests.kubernetes.lab import namespace
from tests.kubernetes.lab.place import Lab

_START_TIMEOUT_S = 30
_STOP_TIMEOUT_S = 20


def log_of(lab: Lab, part: str) -> Path:
    """Where a part writes."""
    return lab.folder / "logs" / f"{part}.log"


def start(lab: Lab, part: str, words: Sequence[str], **variables: str) -> None:
    """Start a part inside, unless it runs, and wait until it is there or has ended."""
    if pid_of(lab, part):
        return
    log_of(lab, part).parent.mkdir(parents=True, exist_ok=True)
    with log_of(lab, part).open("ab") as log:
        entering = subprocess.Popen(
            namespace.enter(lab, words),
            env={**namespace.environment(lab, part), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    wait_until(
        lambda: pid_of(lab, part) or entering.poll() is not None,
        _START_TIMEOUT_S,
        f"{part} has entered the lab",
    )


def pid_of(lab: Lab, part: str) -> int:
    """Its first process, as this machine counts; 0 when it does not run."""
    every = [pid for pid, name in namespace.processes(lab).items() if name == part]
    inside = [pid for pid in every if _name(pid) not in ("nsenter", "unshare")]
    return min(inside, default=0, key=namespace.started_ticks)


def send(lab: Lab, part: str, number: signal.Signals) -> None:
    """Signal a part.

    Raises:
        ProcessLookupError: when it does not run.
    """
    pid = pid_of(lab, part)
    if not pid:
        raise ProcessLookupError(f"{part} does not run in lab {lab.name}")
    os.kill(pid, number)


def proceed(lab: Lab, part: str) -> None:
    """Let a stopped part go on; ``nsenter``, which waits for it outside, stops along with it."""
    for pid, name in namespace.processes(lab).items():
        if name == part:
            os.kill(pid, signal.SIGCONT)


def kill(lab: Lab, part: str) -> None:
    """Kill -9 a part, and wait until it is gone."""
    send(lab, part, signal.SIGKILL)
    wait_until(lambda: not pid_of(lab, part), _STOP_TIMEOUT_S, f"{part} ended")


def tail(lab: Lab, part: str, lines: int = 8) -> str:
    """The end of its log."""
    try:
        text = log_of(lab, part).read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "nsenter"
