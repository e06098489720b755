"""The process behind ``ebb up``; its arguments are FOLDER LIMIT HOST CERTIFICATE KEY.

It starts the Prefect server unless one is named, keeps a Prefect worker and the reaper alive, and
has deployments.yaml deployed. Told to stop, it lets nothing be left: no new run, running ones
cancelled and waited for, then worker and server. It imports no Prefect: its children do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path

from ebbtide.flows.prefect_server import api, server
from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.flows.service import stack
from ebbtide.flows.service.children import Child
from ebbtide.flows.service.prefect_http import worker_of
from ebbtide.flows.service.stack import POOL, Restarts, StackInfo
from ebbtide.infra.errors import EbbError
from ebbtide.infra.files.rotation import rotate
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.processes import USER_WORKDIR, reach_this_machine_directly
from ebbtide.infra.request.catalog import find_file
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import wait_until, wall_s

_SERVER_TIMEOUT_S = 300.0
_SERVER_IDLE_S = 900.0
"""When we are killed, the server outlives us by so much."""
_VERB_TIMEOUT_S = 180.0
_ONLINE_TIMEOUT_S = 90.0
_LOOK_EVERY_S = 1.0
_QUERY_EVERY_S = "2"


class Manager:
    """Starts all parts of ``ebb up``, keeps them alive, and ends them."""

    def __init__(self, settings: Settings, folder: Path, limit: int, bind: Bind):
        self.settings = settings
        self._bind = bind
        self.folder = folder
        pid = os.getpid()
        self.info = StackInfo(pid, marks.started_ticks(pid), str(folder), POOL, limit)
        self.told_to_stop = threading.Event()
        self._server: ServerInfo | None = None
        name, pool = stack.worker_name(), self.info.pool
        argv = ["--pool", pool, "--type", "process", "--name", name, "--limit", str(limit)]
        log = stack.log_of(settings)
        self._worker = Child("worker", ["prefect", "worker", "start", *argv], log)
        self._reaper = Child("reaper", ["ebbtide.flows.service.loops", "reap", pool], log)

    def serve(self) -> None:
        """Bring the stack up and keep it alive until told to stop, then take it down."""
        self.info.save(self.settings)
        try:
            self._bring_up()
            self._stay()
        except Exception as error:
            traceback.print_exc()
            self.info.failed = _why(error)
            self.info.save(self.settings)
        finally:
            self._take_down()

    def _bring_up(self) -> None:
        self._find_server()
        self._prepare_environment()
        names = self._run_verb("deploy", str(self.folder))
        self._done("deployments", names)
        self._start_worker()
        self._reaper.start()
        self._done("worker", f"pool {self.info.pool} · {self.info.limit} runs at once")
        self.info.ready = True
        self.info.save(self.settings)

    def _find_server(self) -> None:
        """Use the server that is named, or start this installation's own, which then stays."""
        if not os.environ.get("PREFECT_API_URL"):
            home = self.settings.home
            self._server = self._own_server()
            os.environ.update(server.client_environment(self._server))
            os.environ["PREFECT_HOME"] = str(home / "prefect")
        self.info.ui_url = os.environ["PREFECT_API_URL"].rstrip("/").removesuffix("/api")
        self._done("server", self.info.ui_url)

    def _own_server(self) -> ServerInfo:
        """Return our own server; one that listens on another address is ended first."""
        home = self.settings.home
        found = server.running(home)
        if found is not None and found.host != self._bind.host:
            server.stop(home)
        return server.ensure(
            home, deadline_s=_SERVER_TIMEOUT_S, idle_s=_SERVER_IDLE_S, bind=self._bind
        )

    def _start_worker(self) -> None:
        """Start the Prefect worker and wait until Prefect shows it online.

        An earlier worker's heartbeat does not count.

        Raises:
            RuntimeError: it has ended, or was not seen; with the line that tells why.
        """
        before = self._last_heartbeat()
        self._worker.start()
        self.info.worker_pid = self._worker.pid

        def settled() -> bool:
            over = self.told_to_stop.is_set() or not self._worker.alive
            return over or self._last_heartbeat() not in (before, None)

        seen = wait_until(settled, timeout_s=_ONLINE_TIMEOUT_S, longest_s=1.0)
        if not self._worker.alive and not self.told_to_stop.is_set():
            raise RuntimeError(f"the Prefect worker ended: {self._worker.why_ended()}")
        if not seen:
            why = f"Prefect did not see its worker within {_ONLINE_TIMEOUT_S:.0f} s"
            raise RuntimeError(f"{why}: {self._worker.why_ended()}")

    def _last_heartbeat(self) -> str | None:
        """Return the time of our Prefect worker's last heartbeat, when Prefect shows it online."""
        named = api.named(os.environ)
        assert named is not None  # whichever it is, its settings are in our environment by now
        with contextlib.suppress(OSError, ValueError, KeyError):
            found = worker_of(named, self.info.pool, stack.worker_name())
            if found and found["status"] == "ONLINE":
                return str(found["last_heartbeat_time"])
        return None

    def _prepare_environment(self) -> None:
        """Set what flow runs need: a Prefect worker starts each of them in a folder of its own."""
        os.environ.update(server.QUIET)
        os.environ.setdefault("PREFECT_WORKER_QUERY_SECONDS", _QUERY_EVERY_S)
        reach_this_machine_directly(os.environ)
        os.environ.setdefault(USER_WORKDIR, os.environ.get("EBB_WORKDIR", ""))
        os.environ.setdefault("EBB_WORKDIR", str(self.folder))
        config = find_file(self.folder, os.environ)
        if config is not None:
            os.environ["EBB_CONFIG"] = str(config.absolute())
        os.environ.pop(marks.ROLE, None)

    def _run_verb(self, *argv: str) -> str:
        """Run one of ``flows.service.loops`` and return what it printed.

        Raises:
            RuntimeError: with what it said when it failed.
        """
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ebbtide.flows.service.loops", *argv, self.info.pool],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_VERB_TIMEOUT_S,
            check=False,
        )
        print(done.stderr, end="", flush=True)
        if done.returncode != 0:
            raise RuntimeError(done.stdout.strip() or done.stderr.strip()[-500:])
        return done.stdout.strip()

    def _done(self, part: str, message: str) -> None:
        self.info.done[part] = message
        self.info.save(self.settings)

    def _stay(self) -> None:
        while not self.told_to_stop.wait(_LOOK_EVERY_S):
            self._keep_server()
            rotate(stack.log_of(self.settings))
            for child in (self._reaper, self._worker):
                if child.revive():
                    restarts: Restarts = {"count": child.restarts, "why": child.why, "at": wall_s()}
                    self.info.restarts[child.name] = restarts
                    self.info.worker_pid = self._worker.pid
                    self.info.save(self.settings)

    def _keep_server(self) -> None:
        """Note that the server is in use, and start it again where it was when it has died."""
        server.touch(self.settings.home)
        if self._server is not None and server.running(self.settings.home) is None:
            print("the Prefect server ended; started again", flush=True)
            server.start_early(self.settings.home, idle_s=_SERVER_IDLE_S, bind=self._bind)

    def _take_down(self) -> None:
        if self._worker.pid:
            try:
                print(self._run_verb("end-runs"), flush=True)
            except (RuntimeError, subprocess.TimeoutExpired):
                traceback.print_exc()
        self._reaper.end()
        self._worker.end()
        if self._server is not None:
            server.stop(self.settings.home)


def _why(error: Exception) -> str:
    """Return what happened, for the person who typed ``ebb up``."""
    detail = error.detail if isinstance(error, EbbError) else ""
    return detail or str(error)


def main(argv: list[str]) -> int:
    """Keep the stack alive until told to stop. Returns 1 when it could not be started."""
    folder, limit, host, certificate, key = argv
    bind = Bind(host, certificate, key)
    manager = Manager(load_settings(), Path(folder), int(limit), bind)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: manager.told_to_stop.set())
    manager.serve()
    return 1 if manager.info.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
