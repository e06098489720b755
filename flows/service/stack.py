"""Finding, starting and ending the stack from any process of ours. Imports no Prefect."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypedDict

from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.infra.files.private import private_folder, write_whole
from ebbtide.infra.processes.environment import ROLE, USER_TMPDIR, our_environment
from ebbtide.infra.processes.identity import alive, started_with
from ebbtide.infra.processes.starting import Ours
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wait_until

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
    """The state of ``ebb up``. Its manager writes it, every process of ours may read it."""

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
        """Which parts had to be started again, and why, as one sentence; empty when none had."""
        return "; ".join(
            f"its {name} was started again {restarted['count']} times: {restarted['why']}"
            for name, restarted in self.restarts.items()
        )

    @property
    def alive(self) -> bool:
        """Whether the manager is alive."""
        return alive(self.pid, self.started)

    @property
    def age_s(self) -> float:
        """Seconds since the manager started."""
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
        return uptime_s - self.started / os.sysconf("SC_CLK_TCK")

    def save(self, settings: Settings) -> None:
        """Write the state to its file; a reader finds the old or the new one, never half of it."""
        path = _file(settings)
        private_folder(settings.home, "stack")
        write_whole(path, json.dumps(asdict(self)))


def last(settings: Settings) -> StackInfo | None:
    """Return the state that the newest manager has written, also after its end."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return StackInfo(**json.loads(_file(settings).read_text()))
    return None


def running(settings: Settings) -> StackInfo | None:
    """Return the state of this installation's stack when its manager is alive; otherwise None."""
    info = last(settings)
    return info if info is not None and info.alive else None


def start(
    settings: Settings, folder: Path, *, limit: int, bind: Bind, environ: Mapping[str, str]
) -> StackInfo:
    """Start the manager and wait until it has written where it is.

    Args:
        settings: of this installation.
        folder: where programs and ebb.yaml are looked for.
        limit: maximum number of flow runs that execute at the same time.
        bind: where the server of the stack listens.
        environ: the environment of whoever asks.

    Returns:
        The state of the stack, which is not ready yet.

    Raises:
        RuntimeError: the manager did not start; the message names its log.
    """
    private_folder(settings.home, "stack")
    _file(settings).unlink(missing_ok=True)
    environment = {**our_environment(environ), "EBB_HOME": str(settings.home)}
    environment[ROLE] = "stack"
    _empty_temporary(settings)
    environment.setdefault(USER_TMPDIR, environ.get("TMPDIR", ""))
    # Prefect's names in a temporary folder are the same for all users of a machine.
    environment["TMPDIR"] = str(private_folder(settings.home, "stack", "tmp"))
    manager = Ours(
        module="ebbtide.flows.service.manager",
        arguments=(str(folder), str(limit), bind.host, bind.certificate, bind.key),
        environment=environment,
        log=log_of(settings),
        cwd=folder,
    ).start()
    wait_until(lambda: last(settings) or manager.poll() is not None, timeout_s=_BIRTH_TIMEOUT_S)
    info = last(settings)
    if info is None:
        raise RuntimeError(f"the manager did not start; see {log_of(settings)}")
    write_whole(pid_file(settings), f"{info.pid}\n")
    return info


def end(settings: Settings, info: StackInfo, *, timeout_s: float) -> bool:
    """Tell the manager to end everything, and wait for that.

    Args:
        settings: of this installation.
        info: the stack, as ``running`` returned it.
        timeout_s: maximum number of seconds to wait.

    Returns:
        Whether the manager has ended.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(info.pid, signal.SIGTERM)
    ended = wait_until(lambda: not info.alive, timeout_s=timeout_s)
    if ended:
        _empty_temporary(settings)
    return ended


def _empty_temporary(settings: Settings) -> None:
    """Delete the temporary folder of the worker and its flow runs, unless one of them is alive."""
    folder = settings.home / "stack" / "tmp"
    if not started_with("TMPDIR", str(folder)):
        shutil.rmtree(folder, ignore_errors=True)


def worker_name() -> str:
    """Return the name of the Prefect worker of this machine."""
    return f"ebb-{os.uname().nodename}"


def log_of(settings: Settings) -> Path:
    """Return the path of the log of manager, worker and reaper."""
    return settings.home / "stack" / "stack.log"


def pid_file(settings: Settings) -> Path:
    """Return the path of the file with the manager's process id, for a service manager."""
    return settings.home / "stack" / "manager.pid"


def _file(settings: Settings) -> Path:
    return settings.home / "stack" / "stack.json"
