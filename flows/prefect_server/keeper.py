"""Owns the local Prefect server: ``python -m ….keeper HOME IDLE_S HOST CERTIFICATE KEY``.

Starts it behind its doorkeeper, with this installation's secret and a database copied from the
template, tells where it answers, and ends it when no run has used it for a while. When the keeper
is killed, the kernel ends the server. It imports no Prefect.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import psutil

from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.api import Api, own_auth_string
from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.prefect_server.certificates import names, own_name, trusted_by
from ebbtide.flows.prefect_server.doorkeeper import HOSTS
from ebbtide.flows.prefect_server.retention import retention
from ebbtide.flows.prefect_server.template import ensure_template
from ebbtide.infra.errors import EbbError
from ebbtide.infra.files.private import write_whole
from ebbtide.infra.files.rotation import rotate
from ebbtide.infra.files.telling import since, size_of
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.policy.explain.telling import telling_line
from ebbtide.infra.processes.environment import HOME
from ebbtide.infra.processes.identity import lives, started_ticks
from ebbtide.infra.processes.starting import Ours, end_with_parent
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wait_until, wall_s

_DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
_PREFERRED_PORT = 4200
_PORT_TRIES = 3
_START_TIMEOUT_S = 180.0
_HEALTH_TIMEOUT_S = 2.0
_END_GRACE_S = 5.0
_LOOK_S = 5.0
_FINISH_TRIES = 3
"""Of one record."""
_PORT_TAKEN = "address already in use"


class Keeper:
    """Starts one Prefect server, watches it and ends it."""

    def __init__(self, home: Path, idle_s: float, bind: Bind):
        self._home = home
        self._folder = home / "prefect"
        self._idle_s = idle_s
        self._bind = bind
        self._told_to_stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._finisher: subprocess.Popen[bytes] | None = None
        self._tries: Counter[str] = Counter()
        self._version = -1
        self._is_recording = False

    def serve(self) -> bool:
        """Keep the server until told to stop or not used for long. Returns whether it came up."""
        signal.signal(signal.SIGTERM, lambda *_: self._told_to_stop.set())
        failure = ""
        try:
            _copy_database(self._folder)
            failure = self._start()
            if not failure:
                self._stay()
        except (OSError, RuntimeError) as error:
            failure = str(error)
        finally:
            (self._folder / "server.json").unlink(missing_ok=True)
            if failure:
                (self._folder / "failed").write_text(failure)
            self._end()
            (self._folder / "keeper.json").unlink(missing_ok=True)
        return not failure

    def _start(self) -> str:
        """Start a server that answers, on another port where the first was taken meanwhile.

        Returns why there is none; empty when there is one.
        """
        why = ""
        for attempt in range(_PORT_TRIES):
            port = _free_port(self._bind.host, _last_port(self._folder) if attempt == 0 else 0)
            said_before = size_of(self._folder / "server.log")
            self._child = self._spawn(port)
            api = Api(self._url(port), certificates=trusted_by(self._bind))
            if self._answers(self._child, port, api):
                self._announce(port)
                return ""
            why = self._why_not(said_before)
            self._end()
            if self._told_to_stop.is_set() or _PORT_TAKEN not in why:
                break
        return why

    def _answers(self, child: subprocess.Popen[bytes], port: int, api: Api) -> bool:
        """Wait until the server answers, or will not any more."""

        def settled() -> bool:
            over = self._told_to_stop.is_set() or child.poll() is not None
            return over or (_listens(child.pid, port) and _healthy(api))

        settled_in_time = wait_until(settled, timeout_s=_START_TIMEOUT_S)
        return settled_in_time and child.poll() is None and not self._told_to_stop.is_set()

    def _why_not(self, said_before: int) -> str:
        if self._told_to_stop.is_set():
            return "it was told to stop"
        assert self._child is not None
        if self._child.poll() is None:
            return f"no answer within {_START_TIMEOUT_S:.0f} s"
        said = telling_line(since(self._folder / "server.log", said_before))
        return said or f"it ended with {self._child.returncode} without a word"

    def _url(self, port: int) -> str:
        name = own_name(self._bind)
        return f"{self._bind.scheme}://{f'[{name}]' if ':' in name else name}:{port}/api"

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        database = f"sqlite+aiosqlite:///{self._folder / 'prefect.db'}"
        environment = {
            **os.environ,
            **server.QUIET,
            **retention(os.environ),
            HOSTS: ",".join(names(self._bind)),
            "PREFECT_HOME": str(self._folder),
            "PREFECT_API_URL": self._url(port),
            # Its pages are served with the API, by whatever name or tunnel they are reached.
            "PREFECT_UI_API_URL": "/api",
            "PREFECT_SERVER_API_AUTH_STRING": own_auth_string(self._home),
            "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": self._url(port).removesuffix("/api"),
            _DATABASE: os.environ.get(_DATABASE) or database,
            "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
                "prefect.server.concurrency.lease_storage.filesystem"
            ),
            "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
        }
        argv = ["--factory", "ebbtide.flows.prefect_server.app:create", "--no-access-log"]
        argv += ["--host", self._bind.host, "--port", str(port), "--timeout-keep-alive", "5"]
        argv += ["--log-level", "warning"]
        if self._bind.certificate:
            argv += ["--ssl-certfile", self._bind.certificate, "--ssl-keyfile", self._bind.key]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "uvicorn", *argv],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            preexec_fn=end_with_parent(signal.SIGTERM),  # noqa: PLW1509  no threads here
        )

    def _announce(self, port: int) -> None:
        pid, url = os.getpid(), self._url(port)
        info = server.ServerInfo(
            url=url,
            ui_url=url.removesuffix("/api"),
            pid=pid,
            started=started_ticks(pid),
            idle_s=self._idle_s,
            home=str(self._home),
            host=self._bind.host,
            certificates=trusted_by(self._bind),
        )
        (self._folder / "port").write_text(str(port))
        write_whole(self._folder / "server.json", json.dumps(asdict(info)))
        server.write_profile(self._home)

    def _stay(self) -> None:
        """Wait until told to stop, the server has died, or nobody has used it for long."""
        assert self._child is not None
        last_use = self._folder / "last-use"
        last_use.touch()
        store = open_store(Settings(home=self._home))
        while self._child.poll() is None:
            rotate(self._folder / "server.log")
            self._finish_records(store.local)
            left_s = last_use.stat().st_mtime + self._idle_s - wall_s()
            if left_s <= 0 and _in_use(store):
                last_use.touch()
                continue
            if left_s <= 0 or self._told_to_stop.wait(min(left_s, _LOOK_S)):
                return

    def _finish_records(self, ledger: RunStore) -> None:
        """Have finished what flow processes left open in Prefect that died after their run."""
        if self._finisher is not None and self._finisher.poll() is None:
            return
        due = {each for each in self._left_open(ledger) if self._tries[each] < _FINISH_TRIES}
        info = server.running(self._home) if due else None
        if info is None:
            return
        self._tries.update(due)
        environment = {**os.environ, **server.client_environment(info), HOME: str(self._home)}
        environment["PREFECT_CLIENT_MAX_RETRIES"] = "3"  # it is tried again
        self._finisher = Ours(
            module="ebbtide.flows.finishing",
            arguments=(),
            environment=environment,
            log=self._folder / "server.log",
        ).start()

    def _left_open(self, ledger: RunStore) -> set[str]:
        """Names of runs and ids of flow runs whose record nobody is left to finish.

        All ended runs are looked through only when one of them may have come to that.
        """
        left = set[str]()
        with contextlib.suppress(EbbError):
            left = {one.flow_run_id for one in reaper.left_unrecorded(ledger)}
            version = ledger.version()  # before reading: what is written after it is seen next
            if version != self._version or self._is_recording:
                self._is_recording = bool(reaper.being_recorded(ledger))
                left.update(reaper.never_recorded(ledger))
                self._version = version
        return left

    def _end(self) -> None:
        if self._finisher is not None and self._finisher.poll() is None:
            self._finisher.kill()
            self._finisher.wait()
        child = self._child
        if child is None:
            return
        child.terminate()
        if not wait_until(lambda: child.poll() is not None, timeout_s=_END_GRACE_S):
            child.kill()
        child.wait()


def _copy_database(folder: Path) -> None:
    """Copy the template, unless Prefect's own setting names another database."""
    if os.environ.get(_DATABASE):
        return
    database = folder / "prefect.db"
    if not database.exists():
        draft = folder / "prefect.db.draft"
        shutil.copyfile(ensure_template(os.environ), draft)
        draft.chmod(0o600)
        draft.rename(database)


def _last_port(folder: Path) -> int:
    """Return the port of the server before this one: runs that outlived it ask there."""
    try:
        return int((folder / "port").read_text())
    except (OSError, ValueError):
        return _PREFERRED_PORT


def _free_port(host: str, preferred: int) -> int:
    family = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][0]
    for wanted in (preferred, 0):
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, wanted))
            return int(probe.getsockname()[1])
    raise OSError(f"no free port on {host}")


def _listens(pid: int, port: int) -> bool:
    """Whether it is our server that answers there: another one may have been quicker."""
    with contextlib.suppress(psutil.Error):
        ours = psutil.Process(pid)
        for process in (ours, *ours.children(recursive=True)):
            for connection in process.net_connections(kind="tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def _healthy(api: Api) -> bool:
    try:
        return api.call("health", timeout_s=_HEALTH_TIMEOUT_S) == b"true"
    except OSError:
        return False


def _in_use(store: RunStore) -> bool:
    """Whether a flow process of a run or of a record lives; no when that is unknown."""
    with contextlib.suppress(EbbError):
        processes = [run.flow_process for run in store.runs(open_only=True)]
        processes += [one.process for one in store.registered()]
        return any(lives(process) for process in processes)
    return False


def main(argv: list[str]) -> int:
    """Keep one server. Returns 1 when it did not come up."""
    home, idle_s, host, certificate, key = argv
    came_up = Keeper(Path(home), float(idle_s), Bind(host, certificate, key)).serve()
    return 0 if came_up else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
