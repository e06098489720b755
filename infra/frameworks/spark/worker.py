"""A Spark worker that drains when told to stop; its argument is its settings as JSON.

A parent of the worker's JVM. Spark's own drain begins with SIGPWR and does not end the process
(Spark 4.3: the worker stays, as DECOMMISSIONED), so SIGTERM here means: begin it, wait until the
executor has finished its tasks and its blocks have moved, then end the JVM.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ebbtide.infra.frameworks import door
from ebbtide.infra.frameworks.ready import serve_ready
from ebbtide.infra.frameworks.shown import Shown
from ebbtide.infra.frameworks.spark import jvm, pages
from ebbtide.infra.frameworks.spark.printed import Kept, passed_on
from ebbtide.infra.frameworks.workers import (
    Backoff,
    killed_for_memory,
    told_to_leave,
    wait_for_head,
    wait_until_it_listens,
)
from ebbtide.infra.models.phases import exit_status
from ebbtide.infra.processes.environment import give_back_to_tasks

_END_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 0.25
_HEAD_GONE_S = 15.0
"""A head that is silent for so long has gone, and the cluster with it: nobody wants the data."""
_TAKERS_WAIT_S = 60.0
"""A new executor has registered with its driver by then, also on a busy machine."""
_REMIND_AFTER_S = 5.0
"""By then the driver has told all executors that it knew."""


def own_page(head: dict[str, str], secrets: Path, host: str) -> str | None:
    """Return the URL at which this worker's JVM tells of its executors.

    Args:
        head: what it has published.
        secrets: the folder of the cluster's secrets.
        host: of this worker.

    Returns:
        A URL; None before this worker has registered.
    """
    workers = (_ask(_master_page(head), secrets) or {"workers": ()})["workers"]
    # One that was here before, at the same address, is not this one.
    here = [each for each in workers if each["host"] == host and each["state"] == "ALIVE"]
    return str(here[0]["webuiaddress"]) if here else None


def _master_page(head: dict[str, str]) -> str:
    return f"{head['dashboard']}/json/"


def _ask(url: str, secrets: Path) -> Any:
    """What the head says at a URL; None when it does not answer."""
    return jvm.ask(url, door.basic(door.read_secret(secrets)))


def drain(
    worker: subprocess.Popen[bytes],
    tell: Callable[[], Any],
    budget_s: float,
    ended: threading.Event,
) -> None:
    """Tell the worker to drain, and wait until it has no executor or the budget is used up.

    Args:
        worker: the JVM.
        tell: asks the JVM for what its page says; None when it does not answer.
        budget_s: how long it may take, in seconds.
        ended: set when the JVM has ended.
    """
    worker.send_signal(signal.SIGPWR)
    backoff, reminded = Backoff(budget_s, ended), set[int]()
    remind_at_s = time.monotonic() + _REMIND_AFTER_S
    while backoff.wait():
        told = tell()
        if told is not None and not told["executors"]:
            return
        if time.monotonic() >= remind_at_s:
            _remind(worker.pid, reminded)


def _remind(worker_pid: int, reminded: set[int]) -> None:
    """Tell executors that are still there to drain, each once.

    The driver passes the drain of a worker on to the executors that it knows. One that is still
    starting registers afterwards, is never told, and would be given tasks until the budget is used
    up (Spark 4.3). This signal leads it to drain like the others; one that drains already ignores
    it, and one that has not registered yet ends.
    """
    for executor in set(jvm.children(worker_pid)) - reminded:
        reminded.add(executor)
        with contextlib.suppress(ProcessLookupError):
            os.kill(executor, signal.SIGPWR)


@dataclass(slots=True)
class Worker:
    """A worker's JVM, and what is known of it."""

    settings: dict[str, Any]
    head: dict[str, str]
    process: subprocess.Popen[bytes]
    printed: Kept | Shown
    page: str | None = None
    """Where it tells of its executors; known once it has registered."""

    @property
    def registered(self) -> bool:
        """Whether its head knows it, and it runs."""
        return self.page is not None and self.process.poll() is None

    def serve(self, stop: threading.Event, ended: threading.Event) -> int:
        """Until it is told to leave and has left, or has ended. Returns the exit status."""
        settings = self.settings
        serve_ready(settings["bind"], settings["ready_port"], lambda: self.registered)
        killed = killed_for_memory()
        while not stop.wait(_LOOK_EVERY_S):
            self.printed.look()
            if self.page is None:
                self.look_for_page()
            # What is left of it would fail its tasks one after the other; a new one is clean.
            if settings["alone"] and killed_for_memory() > killed:
                self.printed.look(last=True)
                return exit_status(-signal.SIGKILL)
        self.printed.look()
        if ended.is_set():
            self.printed.look(last=True)
            return exit_status(self.process.returncode) or 1
        self.leave(ended)
        self.printed.look(last=True)
        return 0

    def look_for_page(self) -> None:
        """Ask the head whether it knows this worker."""
        self.page = own_page(self.head, Path(self.settings["secrets"]), self.settings["host"])

    def leave(self, ended: threading.Event) -> None:
        """Drain, then end."""
        secrets = Path(self.settings["secrets"])
        until_s = time.monotonic() + self.settings["drain_budget_s"]
        if self.page is None:
            self.look_for_page()
        if self.page is not None:
            self._wait_for_takers(ended)
            key, url, heard_s = pages.bearer(secrets), f"{self.page}/json/", time.monotonic()

            def tell() -> Any:
                nonlocal heard_s
                self.printed.look()
                now_s = time.monotonic()
                if _ask(_master_page(self.head), secrets) is not None:
                    heard_s = now_s
                elif now_s - heard_s > _HEAD_GONE_S:
                    return {"executors": []}
                return jvm.ask(url, key)

            drain(self.process, tell, until_s - time.monotonic(), ended)
        self.process.terminate()
        if not ended.wait(_END_TIMEOUT_S):
            self.process.kill()

    def _wait_for_takers(self, ended: threading.Event) -> None:
        """Wait until another worker can take the blocks of this one, for half the budget at most.

        A worker is ready when the master knows it, but its executor registers with the driver some
        seconds later. An executor that drains before there is another gives up its blocks (Spark
        4.3: "No more replicas available"), as when pods are evicted one right after another.
        """
        wait_s = min(_TAKERS_WAIT_S, self.settings["drain_budget_s"] / 2)
        backoff = Backoff(wait_s, ended)
        while self._keeps_what_nobody_takes() and backoff.wait():
            self.printed.look()

    def _keeps_what_nobody_takes(self) -> bool:
        told = _ask(self.head["status_url"], Path(self.settings["secrets"]))
        if told is None:  # nobody to wait for
            return False
        host = self.settings["host"]
        stored = told["workers"].get(host, {}).get("stored_bytes", 0)
        return bool(stored) and not set(told["can_take_blocks"]) - {host}


def main(settings: dict[str, Any]) -> int:
    """Serve until drained, or left by the JVM."""
    scratch, host = Path(settings["scratch"]), settings["host"]
    stop, ended = told_to_leave(), threading.Event()
    head = wait_for_head(Path(settings["head_file"]), settings["head_wait_s"], stop)
    wait_s = settings["head_wait_s"]
    if head is None or not wait_until_it_listens(urlsplit(head["address"]).netloc, wait_s, stop):
        return 0 if stop.is_set() else 1
    os.environ["PYTHONPATH"] = settings["import_path"]  # for executors: users' modules
    give_back_to_tasks(os.environ)
    arguments = ("--host", host, "--port", "0", "--webui-port", "0")
    size = ("--cores", str(settings["cores"]), "--memory", f"{settings['memory_mib']}m")
    work, kept = scratch / "work" / settings["name"], Path(settings["artifacts"]) / settings["name"]
    where = ("--work-dir", str(work), head["address"])
    process = jvm.start(scratch, "org.apache.spark.deploy.worker.Worker", *arguments, *size, *where)

    def watch() -> None:
        process.wait()
        ended.set()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    printed = passed_on(work) if settings["alone"] else Kept(work, kept)
    return Worker(settings, head, process, printed).serve(stop, ended)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
