"""The Spark master as a process: ``python -m infra.frameworks.spark.head SETTINGS-JSON``.

A parent of the master's JVM that says when it answers, writes the driver's configuration, and tells
over HTTP what the autoscaler wants to know: from the master who has registered, from the driver's
own API what runs, waits and is kept.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from infra.frameworks import heads
from infra.frameworks.spark import jvm
from infra.frameworks.spark.sizes import worker_name

_READY_TIMEOUT_S = 120.0
_LOOK_EVERY_S = 0.5
_UI_TRIES = 5
"""A program's second session takes the next port; more than a few at once are not looked for."""


class Watcher:
    """Asks master and driver twice a second and remembers the answer."""

    def __init__(self, master_page: str, driver_port: int):
        self._master_page = master_page
        self._ports = [driver_port + i for i in range(_UI_TRIES)]
        self._apis: dict[str, str] = {}
        self.answer: dict[str, Any] = {"workers": {}, "running": 0, "queued": 0}

    def look(self) -> None:
        """Once."""
        master = jvm.ask(f"{self._master_page}/json/")
        if master is None:
            return
        living = [w for w in master["workers"] if w["state"] != "DEAD"]
        hosts = {w["host"]: _worker(w) for w in living}
        queued = 0
        for app in master["activeapps"]:
            api = self._api(app["id"])
            executors = jvm.ask(f"{api}/allexecutors") if api else None
            if executors is None:
                _assume_busy(hosts, living)
                continue
            for executor in executors:
                _add(hosts, executor)
            queued += sum(map(_waiting, jvm.ask(f"{api}/stages?status=active") or ()))
        running = sum(worker["running"] for worker in hosts.values())
        workers = {worker_name(host): worker for host, worker in hosts.items()}
        self.answer = {"workers": workers, "running": running, "queued": queued}

    def _api(self, app: str) -> str | None:
        """Where the driver of this application answers."""
        if app not in self._apis:
            for port in self._ports:
                base = f"http://127.0.0.1:{port}/api/v1/applications"
                found = jvm.ask(base)
                if found and found[0]["id"] == app:
                    self._apis[app] = f"{base}/{app}"
        return self._apis.get(app)


def _worker(worker: dict[str, Any]) -> dict[str, Any]:
    return {
        "running": 0,
        "queued": 0,
        "stored_bytes": 0,
        "leaving": worker["state"] != "ALIVE",
        "stays_because": "",
    }


def _assume_busy(hosts: dict[str, Any], living: list[dict[str, Any]]) -> None:
    """A driver whose API is off or not up yet may be doing anything."""
    for worker in living:
        hosts[worker["host"]]["running"] += worker["coresused"]


def _add(hosts: dict[str, Any], executor: dict[str, Any]) -> None:
    """One executor's work and blocks, to the worker it runs on."""
    worker = hosts.get(executor["hostPort"].rpartition(":")[0])
    if worker is not None and executor["isActive"]:
        worker["running"] += executor["activeTasks"]
        kept = ("memoryUsed", "diskUsed", "totalShuffleWrite")
        worker["stored_bytes"] += sum(executor[key] for key in kept)


def _waiting(stage: dict[str, Any]) -> int:
    done = stage["numCompleteTasks"] + stage["numActiveTasks"]
    return max(0, int(stage["numTasks"]) - int(done))


def find_page(pid: int, usual_port: int, ended: threading.Event) -> tuple[str, str]:
    """The master's page and its address, once it leads.

    Raises:
        TimeoutError: when it does not within two minutes.
    """
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        ports = jvm.listening_ports(pid)
        if len(ports) > 1:  # the other one speaks no HTTP: the page is the one near its usual port
            page = f"http://127.0.0.1:{min(ports, key=lambda port: abs(port - usual_port))}"
            found = jvm.ask(f"{page}/json/")
            if found is not None and found["status"] == "ALIVE":
                return page, found["url"]
        if ended.wait(0.05):
            break
    raise TimeoutError("the master did not answer")


def configure_driver(folder: Path, address: str) -> int:
    """The shared configuration and the master's address; gives the port of the driver's page."""
    shared, own = folder / "conf", folder / "driver"
    own.mkdir(mode=0o700, exist_ok=True)
    text = (shared / "spark-defaults.conf").read_text()
    (own / "log4j2.properties").write_text((shared / "log4j2.properties").read_text())
    (own / "spark-defaults.conf").write_text(f"{text}spark.master {address}\n")
    settings = dict(line.split(" ", 1) for line in text.splitlines())
    return int(settings["spark.ui.port"])


def main(settings: dict[str, Any]) -> int:
    """Serve until ended."""
    folder, ended = Path(settings["folder"]), threading.Event()
    words = ("--host", "127.0.0.1", "--port", "0", "--webui-port", str(settings["webui_port"]))
    master = jvm.start(folder, "org.apache.spark.deploy.master.Master", *words)
    signal.signal(signal.SIGCHLD, lambda *_: ended.set())
    page, address = find_page(master.pid, settings["webui_port"], ended)
    watcher = Watcher(page, configure_driver(folder, address))
    port = heads.serve_status(lambda: watcher.answer)
    heads.publish(folder, address=address, dashboard=page, status_port=port)
    while not ended.wait(_LOOK_EVERY_S):
        with contextlib.suppress(KeyError, TypeError):  # an answer that is half way to another
            watcher.look()
    return master.wait()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
