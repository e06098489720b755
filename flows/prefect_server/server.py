"""Finding, starting and ending the local Prefect server, from any process of ours."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ebbtide.flows.prefect_server.api import Api, basic, own_auth_string
from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.prefect_server.doorkeeper import OPEN_PATH
from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.files.private import (
    locked,
    private_folder,
    touch_private,
    write_private,
    write_whole,
)
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.processes.environment import CLUSTER, HOME, ROLE, our_environment
from ebbtide.infra.processes.identity import alive, signal_quietly, started_ticks
from ebbtide.infra.processes.starting import Ours
from ebbtide.infra.waiting import wait_until

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
    """How to reach a server that answers. Written by its keeper, read by every process of ours."""

    url: str
    """Its API, such as ``http://127.0.0.1:4200/api``."""
    ui_url: str
    pid: int
    """Of its keeper, which ends with it."""
    started: int
    """When the keeper started, in clock ticks since boot."""
    idle_s: float
    """It ends itself after so many seconds without a run."""
    home: str
    """Of the installation: its secret lies there."""
    host: str = ""
    """Where it listens."""
    certificates: str = ""
    """File of the certificate that clients must know; empty: none, or a well-known one."""

    @property
    def api(self) -> Api:
        """The API of the server, with its secret, for requests of ours."""
        return Api(self.url, self._authorization, self.certificates)

    def open_url(self, flow_run_id: str = "") -> str:
        """Return the URL of a page that signs a browser in. Never to be put on a command line.

        Args:
            flow_run_id: of the flow run that it goes on to; empty: to the dashboard.
        """
        secret = quote(self._authorization.removeprefix("Basic "), safe="")
        return f"{self.ui_url}{OPEN_PATH}#{secret}{f'&{flow_run_id}' if flow_run_id else ''}"

    @property
    def _authorization(self) -> str:
        return basic(own_auth_string(Path(self.home)))


def running(home: Path) -> ServerInfo | None:
    """Return the server of this installation if its keeper is alive. Cheap: reads one file."""
    try:
        info = ServerInfo(**json.loads((_folder(home) / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return info if alive(info.pid, info.started) else None


def start_early(home: Path, *, idle_s: float, bind: Bind = Bind()) -> None:  # noqa: B008  frozen
    """Begin to start the server unless it runs or is being started, and return without waiting.

    Args:
        home: of this installation.
        idle_s: the server ends itself after so many seconds without a run.
        bind: the address on which it listens.
    """
    if running(home) is not None:
        return
    with _locked(home) as is_first:
        if is_first and running(home) is None and not _being_started(home):
            _start_keeper(home, idle_s, bind)


def ensure(
    home: Path,
    *,
    deadline_s: float,
    idle_s: float,
    bind: Bind = Bind(),  # noqa: B008  frozen
) -> ServerInfo:
    """Return the running server, started when there is none.

    Args:
        home: of this installation.
        deadline_s: maximum number of seconds to wait for it.
        idle_s: for a server started now: it ends itself after so many seconds without a run.
        bind: for a server started now: the address on which it listens.

    Returns:
        The server, which answers.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE, with why it did not start, or naming its log.
    """

    def look() -> ServerInfo | bool:
        found = running(home) or _gave_up(home)
        if not found:  # one that was just ending when we first looked has to be followed
            start_early(home, idle_s=idle_s, bind=bind)
        return found

    start_early(home, idle_s=idle_s, bind=bind)
    info = wait_until(look, timeout_s=deadline_s)
    if isinstance(info, ServerInfo):
        touch(home)
        return info
    why = f"the local Prefect server did not come up within {deadline_s:.0f} s"
    if info:
        why = f"the local Prefect server ended as it started: {_why_it_failed(home)}"
    raise ProvisioningError(
        Reason.PREFECT_UNREACHABLE,
        detail=why,
        hint=f"see {_folder(home) / 'server.log'}, or set EBB_PREFECT_SERVER=off",
    )


def stop(home: Path) -> bool:
    """End the server and its keeper. Returns whether there was one."""
    pid = _keeper_pid(home)
    if pid is None:
        return False
    signal_quietly(pid, signal.SIGTERM)
    started = started_ticks(pid)
    if not wait_until(lambda: not alive(pid, started), timeout_s=_STOP_TIMEOUT_S):
        signal_quietly(pid, signal.SIGKILL)
    return True


def touch(home: Path) -> None:
    """Note that the server is in use now, which puts off the end it makes when idle."""
    with contextlib.suppress(OSError):
        touch_private(_folder(home) / "last-use")


def client_environment(info: ServerInfo) -> dict[str, str]:
    """Return the variables that a process sets before it imports Prefect, to use this server."""
    return {
        **QUIET,
        # With SQLite, many writers at once get 503 answers, and five tries are few for a crowd.
        # Not many more: the pause doubles each time, so a server that is gone costs eight minutes.
        "PREFECT_CLIENT_MAX_RETRIES": "8",
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        **_access(info),
    }


def write_profile(home: Path) -> None:
    """Let the owner type ``prefect`` with PREFECT_HOME set to the server's folder, and no more.

    Prefect reads its settings from there; no secret has to be in a shell's environment.
    """
    info = running(home)
    if info is None:
        return
    lines = ['active = "ebb"', "", "[profiles.ebb]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in _access(info).items()]
    write_whole(_folder(home) / "profiles.toml", "\n".join([*lines, ""]))


def _access(info: ServerInfo) -> dict[str, str]:
    """Return the variables that Prefect's client needs to use this server."""
    trusted = {"PREFECT_API_SSL_CERT_FILE": info.certificates} if info.certificates else {}
    secret = own_auth_string(Path(info.home))
    return {"PREFECT_API_URL": info.url, "PREFECT_API_AUTH_STRING": secret, **trusted}


def _folder(home: Path) -> Path:
    return home / "prefect"


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[bool]:
    """Hold the lock of whoever starts a server. Yields False when another process has it."""
    folder = private_folder(home, "prefect")
    with locked(folder / "server.lock", wait=False) as mine:
        yield mine


def _start_keeper(home: Path, idle_s: float, bind: Bind) -> None:
    environment = {key: v for key, v in our_environment(os.environ).items() if key != CLUSTER}
    environment.update({HOME: str(home), ROLE: "prefect-server"})
    folder = _folder(home)
    (folder / "failed").unlink(missing_ok=True)
    keeper = Ours(
        module="ebbtide.flows.prefect_server.keeper",
        arguments=(str(home), str(idle_s), bind.host, bind.certificate, bind.key),
        environment=environment,
        log=folder / "server.log",
    ).start()
    birth = {"pid": keeper.pid, "started": started_ticks(keeper.pid)}
    write_private(folder / "keeper.json", json.dumps(birth))


def _being_started(home: Path) -> bool:
    return _keeper_pid(home) is not None


def _gave_up(home: Path) -> bool:
    return not _being_started(home) and (_folder(home) / "failed").exists()


def _why_it_failed(home: Path) -> str:
    """Return what the keeper noted of why the server ended as it started."""
    with contextlib.suppress(OSError):
        return (_folder(home) / "failed").read_text(errors="replace").strip() or "without a word"
    return "without a word"


def _keeper_pid(home: Path) -> int | None:
    try:
        birth = json.loads((_folder(home) / "keeper.json").read_text())
    except (OSError, ValueError):
        return None
    return int(birth["pid"]) if alive(birth["pid"], birth["started"]) else None
