"""Owns the local Prefect server: ``python -m flows.prefect_server.keeper HOME IDLE_S``.

Starts it on loopback with a database copied from the template, tells where it answers, and ends it
when no run has used it for a while. When the keeper is killed, the kernel ends the server.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import psutil

from flows.prefect_server.retention import retention
from flows.prefect_server.server import QUIET
from flows.prefect_server.template import ensure_template
from infra.errors import EbbError
from infra.ledger import Ledger
from infra.platforms.local import marks
from infra.rotation import rotate
from infra.waiting import wait_until, wall_s

_DATABASE = "PREFECT_API_DATABASE_CONNECTION_URL"
_PREFERRED_PORT = 4200
_PORT_TRIES = 3
_START_TIMEOUT_S = 180.0
_END_GRACE_S = 5.0
_PR_SET_PDEATHSIG = 1
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main(home: Path, idle_s: float) -> int:
    """Keep the server until it has been idle for long enough, or somebody says stop."""
    folder = home / "prefect"
    told_to_stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told_to_stop.set())
    child = None
    try:
        _copy_database(folder)
        child, port = _start(folder, told_to_stop)
        if child is not None:
            _announce(folder, port, idle_s)
            _stay(folder, child, idle_s, told_to_stop)
    finally:
        (folder / "server.json").unlink(missing_ok=True)
        if child is None:
            (folder / "failed").touch()
        else:
            _end(child)
        (folder / "keeper.json").unlink(missing_ok=True)
    return 0 if child is not None else 1


def _copy_database(folder: Path) -> None:
    """Unless Prefect's own setting names another one (PostgreSQL), which Prefect migrates."""
    if os.environ.get(_DATABASE):
        return
    database = folder / "prefect.db"
    if not database.exists():
        draft = folder / "prefect.db.draft"
        shutil.copyfile(ensure_template(os.environ), draft)
        draft.chmod(0o600)
        draft.rename(database)


def _start(
    folder: Path, told_to_stop: threading.Event
) -> tuple[subprocess.Popen[bytes] | None, int]:
    """A server that answers; another port where the first was taken between choice and use."""
    for attempt in range(_PORT_TRIES):
        port = _free_port(_last_port(folder) if attempt == 0 else 0)
        child = _spawn(folder, port)

        def settled(child: subprocess.Popen[bytes] = child, port: int = port) -> bool:
            over = told_to_stop.is_set() or child.poll() is not None
            return over or (_listens(child.pid, port) and _healthy(port))

        wait_until(settled, timeout_s=_START_TIMEOUT_S)
        if child.poll() is None and _listens(child.pid, port) and _healthy(port):
            return child, port
        _end(child)
        if told_to_stop.is_set():
            break
    return None, 0


def _spawn(folder: Path, port: int) -> subprocess.Popen[bytes]:
    url = f"http://127.0.0.1:{port}"
    environment = {
        **os.environ,
        **QUIET,
        **retention(os.environ),
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_UI_API_URL": f"{url}/api",
        _DATABASE: os.environ.get(_DATABASE) or f"sqlite+aiosqlite:///{folder / 'prefect.db'}",
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": (
            "prefect.server.concurrency.lease_storage.filesystem"
        ),
        "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    }
    factory = ["-m", "uvicorn", "--factory", "flows.prefect_server.sqlite:create"]
    argv = [*factory, "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return subprocess.Popen(
        [sys.executable, "-P", *argv],
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,  # noqa: PLW1509  one prctl; the keeper has no threads
    )


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _last_port(folder: Path) -> int:
    """Where the server before this one answered: runs that outlived it ask there."""
    try:
        return int((folder / "port").read_text())
    except (OSError, ValueError):
        return _PREFERRED_PORT


def _free_port(preferred: int) -> int:
    for wanted in (preferred, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", wanted))
            return int(probe.getsockname()[1])
    raise OSError("no free port on loopback")


def _listens(pid: int, port: int) -> bool:
    """Whether it is our server that answers there: another one may have been quicker."""
    with contextlib.suppress(psutil.Error):
        server = psutil.Process(pid)
        for process in (server, *server.children(recursive=True)):
            for connection in process.net_connections(kind="tcp4"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
    return False


def _healthy(port: int) -> bool:
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/api/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _announce(folder: Path, port: int, idle_s: float) -> None:
    url = f"http://127.0.0.1:{port}"
    pid = os.getpid()
    info = {
        "url": f"{url}/api",
        "ui_url": url,
        "pid": pid,
        "started": marks.started_ticks(pid),
        "idle_s": idle_s,
    }
    (folder / "port").write_text(str(port))
    draft = folder / "server.json.draft"
    draft.write_text(json.dumps(info))
    draft.rename(folder / "server.json")


def _stay(
    folder: Path, child: subprocess.Popen[bytes], idle_s: float, told_to_stop: threading.Event
) -> None:
    """Until told to stop, the server has died, or nobody used it for ``idle_s``."""
    last_use = folder / "last-use"
    last_use.touch()
    ledger = Ledger(folder.parent)
    while child.poll() is None:
        rotate(folder / "server.log")
        left_s = last_use.stat().st_mtime + idle_s - wall_s()
        if left_s <= 0 and _in_use(ledger):
            last_use.touch()
            continue
        if left_s <= 0 or told_to_stop.wait(min(left_s, 5.0)):
            return


def _in_use(ledger: Ledger) -> bool:
    """Whether a flow process lives whose run has not ended. A ledger that fails us keeps nobody."""
    with contextlib.suppress(EbbError):
        runs = ledger.rows("SELECT flow_pid, flow_started FROM runs WHERE ended IS NULL")
        return any(marks.alive(run["flow_pid"], run["flow_started"]) for run in runs)
    return False


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    if wait_until(lambda: child.poll() is not None, timeout_s=_END_GRACE_S):
        return
    child.kill()
    child.wait()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
