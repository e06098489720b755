"""Finding, starting and ending the local Prefect server, from any process of ours."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.errors import ProvisioningError
from infra.models.phases import Reason
from infra.platforms.local import marks
from infra.platforms.local.processes import Ours, our_environment
from infra.private import private_folder, private_opener, touch_private, write_private
from infra.waiting import wait_until

_STOP_TIMEOUT_S = 15.0

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLI_WRAP_LINES": "false",
    "PREFECT_CLI_PROMPT": "false",
    # A slow or busy machine must delay a run, never fail it.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
}


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """A server that answers."""

    url: str
    """Its API, such as ``http://127.0.0.1:4200/api``."""
    ui_url: str
    pid: int
    """Of its keeper, which ends with it."""
    started: int
    """When the keeper started, in clock ticks since boot."""
    idle_s: float
    """It ends itself after so many seconds without a run."""


def running(home: Path) -> ServerInfo | None:
    """The server of this installation, when it lives. Cheap."""
    try:
        info = ServerInfo(**json.loads((_folder(home) / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return info if marks.alive(info.pid, info.started) else None


def start_early(home: Path, *, idle_s: float) -> None:
    """Begin to start the server unless it lives or is being started. Does not wait."""
    if running(home) is not None:
        return
    with _locked(home) as is_first:
        if is_first and running(home) is None and not _being_started(home):
            _start_keeper(home, idle_s)


def ensure(home: Path, *, deadline_s: float, idle_s: float) -> ServerInfo:
    """The server, started when there is none.

    Args:
        home: of this installation.
        deadline_s: seconds to wait for it at most.
        idle_s: for a server started now: it ends itself after so many seconds without a run.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE, naming the server's log.
    """

    def look() -> ServerInfo | bool:
        found = running(home) or _gave_up(home)
        if not found:  # one that was just ending when we first looked has to be followed
            start_early(home, idle_s=idle_s)
        return found

    start_early(home, idle_s=idle_s)
    info = wait_until(look, timeout_s=deadline_s)
    if isinstance(info, ServerInfo):
        touch(home)
        return info
    raise ProvisioningError(
        Reason.PREFECT_UNREACHABLE,
        detail=f"the local Prefect server did not come up within {deadline_s:.0f} s",
        hint=f"see {_folder(home) / 'server.log'}, or set EBB_PREFECT_SERVER=off",
    )


def stop(home: Path) -> bool:
    """End the server and its keeper; gives whether there was one."""
    pid = _keeper_pid(home)
    if pid is None:
        return False
    marks.signal_quietly(pid, signal.SIGTERM)
    started = marks.started_ticks(pid)
    if not wait_until(lambda: not marks.alive(pid, started), timeout_s=_STOP_TIMEOUT_S):
        marks.signal_quietly(pid, signal.SIGKILL)
    return True


def touch(home: Path) -> None:
    """Note that the server is of use now."""
    with contextlib.suppress(OSError):
        touch_private(_folder(home) / "last-use")


def client_environment(info: ServerInfo) -> dict[str, str]:
    """What a process sets before it imports Prefect, to use this server."""
    return {
        **QUIET,
        # With SQLite, many writers at once get 503 answers, and five tries are few for a crowd.
        # Not many more: the pause doubles each time, so a server that is gone costs eight minutes.
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        "PREFECT_API_URL": info.url,
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }


def ephemeral_environment(home: Path) -> dict[str, str]:
    """The same for Prefect's own server inside the flow process, each time anew."""
    return {**QUIET, "PREFECT_HOME": str(_folder(home)), "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "1"}


def _folder(home: Path) -> Path:
    return home / "prefect"


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[bool]:
    """Only one process at a time may start a server; the others wait for it, not for the lock."""
    folder = private_folder(home, "prefect")
    with open(folder / "server.lock", "w", opener=private_opener) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _start_keeper(home: Path, idle_s: float) -> None:
    environment = {key: v for key, v in our_environment(os.environ).items() if key != marks.CLUSTER}
    environment.update({marks.HOME: str(home), marks.ROLE: "prefect-server"})
    folder = _folder(home)
    (folder / "failed").unlink(missing_ok=True)
    keeper = Ours(
        module="flows.prefect_server.keeper",
        words=(str(home), str(idle_s)),
        environment=environment,
        log=folder / "server.log",
    ).start()
    birth = {"pid": keeper.pid, "started": marks.started_ticks(keeper.pid)}
    write_private(folder / "keeper.json", json.dumps(birth))


def _being_started(home: Path) -> bool:
    return _keeper_pid(home) is not None


def _gave_up(home: Path) -> bool:
    return not _being_started(home) and (_folder(home) / "failed").exists()


def _keeper_pid(home: Path) -> int | None:
    try:
        birth = json.loads((_folder(home) / "keeper.json").read_text())
    except (OSError, ValueError):
        return None
    return int(birth["pid"]) if marks.alive(birth["pid"], birth["started"]) else None
