"""The Spark master as a process: ``python -m ebbtide.infra.frameworks.spark.head SETTINGS-JSON``.

A parent of the master's JVM that says when it answers, lets people see the pages, and tells over
HTTP what the autoscaler wants to know: from the master who has registered, by host, from the
driver's own API what runs, waits and is kept. The driver is asked through the master, which knows
where it is.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebbtide.infra.frameworks import heads
from ebbtide.infra.frameworks.door import Door, read_secret
from ebbtide.infra.frameworks.front import Front, Page
from ebbtide.infra.frameworks.ready import serve_ready
from ebbtide.infra.frameworks.spark import jvm, pages
from ebbtide.infra.frameworks.spark.demand.applications import Application, Seen
from ebbtide.infra.frameworks.spark.pages import EVENT_LOGS
from ebbtide.infra.frameworks.spark.sizes import MIB
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.demand import DemandFigures
from ebbtide.infra.models.phases import exit_status

_IMPORTED_AT = time.time()
_LOOK_EVERY_S = 0.5


class Watcher:
    """Asks master and drivers twice a second and remembers the answer."""

    def __init__(self, master_page: str, authorization: str):
        self._master_page, self._authorization = master_page, authorization
        self._applications: dict[str, Application] = {}
        self.answer: dict[str, Any] = {
            "workers": {},
            "running": 0,
            "queued": 0,
            "can_take_blocks": [],
        }

    def look(self) -> None:
        """Once."""
        master = self._ask("/json/")
        if master is None:
            return
        living = [w for w in master["workers"] if w["state"] != "DEAD"]
        hosts = {w["host"]: _worker(w) for w in living}
        seen, silent = [], False
        for app in master["activeapps"]:
            found = self._look_at(app)
            if found is None:
                silent = True
                _assume_busy(hosts, living)
                continue
            seen.append(found)
            for executor in found.executors:
                _add(hosts, executor)
        for app in master["completedapps"]:
            # It may have run its tasks and ended since it was last looked at.
            application = self._applications.setdefault(app["id"], self._new())
            application.ended_tasks = max(1, application.ended_tasks)
        ended = sum(application.ended_tasks for application in self._applications.values())
        self.answer = {
            "workers": hosts,
            "running": sum(worker["running"] for worker in hosts.values()),
            "queued": sum(each.pending for each in seen),
            "finished": None if silent else ended,
            "demand": to_data(_figures(seen, living)),
            "can_take_blocks": sorted(_can_take_blocks(hosts, seen)),
        }

    def _look_at(self, app: dict[str, Any]) -> Seen | None:
        api = f"/proxy/{app['id']}/api/v1/applications/{app['id']}"
        application = self._applications.setdefault(app["id"], self._new())
        return application.look(api, app, time.monotonic())

    def _new(self) -> Application:
        return Application(self._ask, self._read)

    def _ask(self, path: str) -> Any:
        return jvm.ask(f"{self._master_page}{path}", self._authorization)

    def _read(self, path: str) -> str | None:
        return jvm.read(f"{self._master_page}{path}", self._authorization)


def _figures(seen: list[Seen], living: list[dict[str, Any]]) -> DemandFigures:
    """Of all applications together."""
    waiting = tuple(demand for each in seen for demand in each.waiting)
    used = {"CPU": sum(each.used_cpus for each in seen)}
    if any(demand.kind == "executor" for demand in waiting):
        # It waits for what executors of others hold, whether those have tasks or not.
        used = {
            "CPU": float(sum(worker["coresused"] for worker in living)),
            "memory": float(sum(worker["memoryused"] for worker in living) * MIB),
        }
    return DemandFigures(
        waiting=waiting,
        backlog_tasks=sum(each.backlog_tasks for each in seen),
        backlog_s=sum(each.backlog_s for each in seen),
        used=used,
    )


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


def _can_take_blocks(hosts: dict[str, Any], seen: list[Seen]) -> set[str]:
    """The workers that stay and have an executor known to its driver: those that leave ask."""
    active = (executor for each in seen for executor in each.executors if executor["isActive"])
    having = {executor["hostPort"].rpartition(":")[0] for executor in active}
    return {host for host in having & hosts.keys() if not hosts[host]["leaving"]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Master:
    """A master's JVM that may not answer yet."""

    pid: int
    host: str
    page_port: int
    """The one it was told; it takes the next when that is taken."""
    authorization: str
    ended: threading.Event

    def answered(self, timeout_s: float) -> tuple[int, str]:
        """The port of its page and its address, once it leads.

        Raises:
            TimeoutError: when it does not in time, or has ended.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            ports = jvm.listening_ports(self.pid)
            if len(ports) > 1:  # the other one speaks no HTTP
                port = min(ports, key=lambda port: abs(port - self.page_port))
                found = jvm.ask(f"http://{self.host}:{port}/json/", self.authorization)
                if found is not None and found["status"] == "ALIVE":
                    return port, found["url"]
            if self.ended.wait(0.05):
                break
        raise TimeoutError("the master did not answer")


def main(settings: dict[str, Any]) -> int:
    """Serve until ended."""
    ended, host, bind = threading.Event(), settings["host"], settings["bind"]
    secrets = Path(settings["secrets"])
    authorization = pages.bearer(secrets)
    door = Door(read_secret(secrets), settings["page_hosts"])
    front, page_port = Front(door, bind, settings["page_port"]), jvm.free_port(bind)
    arguments = ("--host", host, "--port", str(settings["port"]), "--webui-port", str(page_port))
    scratch = Path(settings["scratch"])
    # Drivers do not make it, and end when it is not there.
    (Path(settings["artifacts"]) / EVENT_LOGS).mkdir(mode=0o700, parents=True, exist_ok=True)
    process = jvm.start(scratch, "org.apache.spark.deploy.master.Master", *arguments)
    signal.signal(signal.SIGCHLD, lambda *_: ended.set())
    master = Master(
        pid=process.pid,
        host=host,
        page_port=page_port,
        authorization=authorization,
        ended=ended,
    )
    port, address = master.answered(settings["start_timeout_s"])
    watcher = Watcher(f"http://{host}:{port}", authorization)
    page = Page(host=host, port=port, authorization=authorization)
    front.serve(lambda: watcher.answer, page)
    url = f"http://{host}:{front.port}"
    heads.publish(Path(settings["head_file"]), address=address, front=url, imported_at=_IMPORTED_AT)
    serve_ready(bind, settings["ready_port"], lambda: not ended.is_set())
    while not ended.wait(_LOOK_EVERY_S):
        with contextlib.suppress(KeyError, TypeError):  # an answer that is half way to another
            watcher.look()
    return exit_status(process.wait())


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
