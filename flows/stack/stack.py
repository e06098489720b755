"""Finding, starting and ending the stack from any process of ours. Imports no Prefect."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from infra.platforms.local import marks
from infra.platforms.local.processes import our_environment
from infra.settings import Settings
from infra.waiting import wait_until

POOL = "local"
_BIRTH_TIMEOUT_S = 30.0


class Restarts(TypedDict):
    """A part of the stack that had to be started again."""

    count: int
    why: str
    """Its telling line, the last time."""
    at: float
    """When that was; Unix time, seconds."""


@dataclass(slots=True)
class StackInfo:
    """How far it is. Written by its manager, read by everybody."""

    pid: int
    """Of the manager."""
    started: float
    """When it started, in clock ticks since boot."""
    folder: str
    """Where ``ebb up`` was typed: programs and ebb.yaml are looked for there."""
    pool: str = POOL
    limit: int = 4
    """Flow runs that execute at the same time."""
    done: dict[str, str] = field(default_factory=dict)
    """Part by part, in order, what there is now."""
    ready: bool = False
    failed: str = ""
    """Why it gave up."""
    ui_url: str = ""
    worker_pid: int = 0
    restarts: dict[str, Restarts] = field(default_factory=dict)
    """Of its worker and its reaper, by name, when one of them has ended by itself."""

    @property
    def trouble(self) -> str:
        """Which parts had to be started again, and why, in words; empty when none had."""
        return "; ".join(
            f"its {name} was started again {words['count']} times: {words['why']}"
            for name, words in self.restarts.items()
        )

    @property
    def alive(self) -> bool:
        """Whether its manager lives."""
        return marks.alive(self.pid, self.started)

    @property
    def age_s(self) -> float:
        """Seconds since its manager started."""
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return uptime_s - self.started / os.sysconf("SC_CLK_TCK")

    def save(self, settings: Settings) -> None:
        """Whole or not at all."""
        path = _file(settings)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.rename(path)


def last(settings: Settings) -> StackInfo | None:
    """What the newest manager has written, also after its end."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return StackInfo(**json.loads(_file(settings).read_text()))
    return None


def running(settings: Settings) -> StackInfo | None:
    """The stack of this installation, when its manager lives."""
    info = last(settings)
    return info if info is not None and info.alive else None


def start(settings: Settings, folder: Path, *, limit: int, environ: Mapping[str, str]) -> StackInfo:
    """Start the manager and wait until it has signed in.

    Raises:
        RuntimeError: when it did not, with where it says why.
    """
    home = settings.home / "stack"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _file(settings).unlink(missing_ok=True)
    environment = {**our_environment(environ), "EBB_HOME": str(settings.home)}
    environment[marks.ROLE] = "stack"
    with log_of(settings).open("ab") as log:
        manager = subprocess.Popen(
            [sys.executable, "-P", "-m", "flows.stack.manager", str(folder), str(limit)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    wait_until(lambda: last(settings) or manager.poll() is not None, timeout_s=_BIRTH_TIMEOUT_S)
    info = last(settings)
    if info is None:
        raise RuntimeError(f"the manager did not start; see {log_of(settings)}")
    return info


def end(info: StackInfo, *, timeout_s: float) -> bool:
    """Tell the manager to end everything, and wait; gives whether it has."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(info.pid, signal.SIGTERM)
    return wait_until(lambda: not info.alive, timeout_s=timeout_s)


def worker_name() -> str:
    """What its Prefect worker is called there."""
    return f"ebb-{os.uname().nodename}"


def log_of(settings: Settings) -> Path:
    """What manager and worker say."""
    return settings.home / "stack" / "stack.log"


def _file(settings: Settings) -> Path:
    return settings.home / "stack" / "stack.json"
