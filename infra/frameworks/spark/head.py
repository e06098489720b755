"""The Spark master as a process: ``python -m ebbtide.infra.frameworks.spark.head SETTINGS-JSON``.

A parent of the master's JVM that says when it answers, writes the driver's configuration, lets
people see the pages, and tells over HTTP what the autoscaler wants to know: from the master who has
registered, from the driver's own API what runs, waits and is kept. The driver is asked through the
master, which knows where it is.
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

from ebbtide.infra.frameworks import heads
from ebbtide.infra.frameworks.front import Front, Page
from ebbtide.infra.frameworks.spark import jvm, pages
from ebbtide.infra.frameworks.spark.sizes import worker_name

_READY_TIMEOUT_S = 120.0
_LOOK_EVERY_S = 0.5


class Watcher:
    """Asks master and driver twice a second and remembers the answer."""

    def __init__(self, master_page: str, authorization: str):
        self._master_page, self._authorization = master_page, authorization
        self.answer: dict[str, Any] = {"workers": {}, "running": 0, "queued": 0}

    def look(self) -> None:
        """Once."""
        master = self._ask("/json/")
        if master is None:
            return
        living = [w for w in master["workers"] if w["state"] != "DEAD"]
        hosts = {w["host"]: _worker(w) for w in living}
        queued = 0
        for app in master["activeapps"]:
            api = f"/proxy/{app['id']}/api/v1/applications/{app['id']}"
            executors = self._ask(f"{api}/allexecutors")
            if executors is None:
                _assume_busy(hosts, living)
                continue
            for executor in executors:
                _add(hosts, executor)
            queued += sum(map(_waiting, self._ask(f"{api}/stages?status=active") or ()))
        running = sum(worker["running"] for worker in hosts.values())
        workers = {worker_name(host): worker for host, worker in hosts.items()}
        self.answer = {"workers": workers, "running": running, "queued": queued}

    def _ask(self, path: str) -> Any:
        return jvm.ask(f"{self._master_page}{path}", self._authorization)


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


def find_page(
    pid: int, page_port: int, authorization: str, ended: threading.Event
) -> tuple[int, str]:
    """Wait until the master leads, and return where it answers.

    Args:
        pid: of the master's JVM.
        page_port: the port that its page was asked to take; Spark may have taken a later one.
        authorization: the header that the page asks for.
        ended: set when the head is told to end; ends the waiting.

    Returns:
        The port of its page, and its address for workers (``spark://…``).

    Raises:
        TimeoutError: it does not lead within two minutes.
    """
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        ports = jvm.listening_ports(pid)
        if len(ports) > 1:  # the other one speaks no HTTP; Spark tries the next when one is taken
            port = min(ports, key=lambda port: abs(port - page_port))
            found = jvm.ask(f"http://127.0.0.1:{port}/json/", authorization)
            if found is not None and found["status"] == "ALIVE":
                return port, found["url"]
        if ended.wait(0.05):
            break
    raise TimeoutError("the master did not answer")


def configure_driver(folder: Path, address: str) -> None:
    """The shared configuration and the master's address."""
    shared, own = folder / "conf", folder / "driver"
    own.mkdir(mode=0o700, exist_ok=True)
    text = (shared / "spark-defaults.conf").read_text()
    (own / "log4j2.properties").write_text((shared / "log4j2.properties").read_text())
    (own / "spark-defaults.conf").write_text(f"{text}spark.master {address}\n")


def main(settings: dict[str, Any]) -> int:
    """Serve until ended."""
    folder, ended = Path(settings["folder"]), threading.Event()
    authorization = pages.bearer(folder / "conf" / "spark-defaults.conf")
    front, page_port = Front(folder, settings["front_port"]), jvm.free_port()
    words = ("--host", "127.0.0.1", "--port", "0", "--webui-port", str(page_port))
    master = jvm.start(folder, "org.apache.spark.deploy.master.Master", *words)
    signal.signal(signal.SIGCHLD, lambda *_: ended.set())
    port, address = find_page(master.pid, page_port, authorization, ended)
    configure_driver(folder, address)
    watcher = Watcher(f"http://127.0.0.1:{port}", authorization)
    front.serve(lambda: watcher.answer, Page(port=port, authorization=authorization))
    heads.publish(folder, address=address, front_port=front.port)
    while not ended.wait(_LOOK_EVERY_S):
        with contextlib.suppress(KeyError, TypeError):  # an answer that is half way to another
            watcher.look()
    return master.wait()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
