"""A Spark worker that drains when told to stop: ``python -m infra.frameworks.spark.worker JSON``.

A parent of the worker's JVM. Spark's own drain begins with SIGPWR and does not end the process
(Spark 4.3: the worker stays, as DECOMMISSIONED), so SIGTERM here means: begin it, wait until the
executor has finished its tasks and its blocks have moved, then end the JVM.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from infra.frameworks.spark import jvm

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.5
_END_TIMEOUT_S = 5.0


class Backoff:
    """Growing pauses until a deadline, or until something happens."""

    def __init__(self, timeout_s: float, happened: threading.Event):
        self._deadline = time.monotonic() + timeout_s
        self._happened = happened
        self._pause_s = _FIRST_PAUSE_S

    def wait(self) -> bool:
        """Let some time pass; False when the time is up or it has happened."""
        happened = self._happened.wait(self._pause_s)
        self._pause_s = min(self._pause_s * 1.5, _LONGEST_PAUSE_S)
        return not happened and time.monotonic() < self._deadline


def wait_for_head(folder: Path, timeout_s: float, stop: threading.Event) -> dict[str, str] | None:
    """What the head has published; None when told to stop before."""
    backoff = Backoff(timeout_s, stop)
    while not (folder / "head.json").exists():
        if not backoff.wait():
            return None
    found: dict[str, str] = json.loads((folder / "head.json").read_text())
    return found


def own_page(head: dict[str, str], host: str) -> str | None:
    """Where this worker's JVM tells of its executors; None before it has registered."""
    master = jvm.ask(f"{head['dashboard']}/json/")
    pages = [w["webuiaddress"] for w in (master or {"workers": ()})["workers"] if w["host"] == host]
    return str(pages[0]) if pages else None


def drain(
    worker: subprocess.Popen[bytes], page: str, budget_s: float, ended: threading.Event
) -> None:
    """Until no executor is left here, or the budget is used up."""
    worker.send_signal(signal.SIGPWR)
    backoff = Backoff(budget_s, ended)
    while backoff.wait():
        told = jvm.ask(f"{page}/json/")
        if told is not None and not told["executors"]:
            return


def main(settings: dict[str, Any]) -> int:
    """Serve until drained, or left by the JVM."""
    folder, host = Path(settings["folder"]), settings["host"]
    stop, ended = threading.Event(), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    head = wait_for_head(folder, settings["head_timeout_s"], stop)
    if head is None:
        return 0 if stop.is_set() else 1
    os.environ["PYTHONPATH"] = settings["import_path"]  # for executors: users' modules
    words = ("--host", host, "--port", "0", "--webui-port", "0")
    size = ("--cores", str(settings["cores"]), "--memory", f"{settings['memory_mib']}m")
    where = ("--work-dir", str(folder / "work" / settings["name"]), head["address"])
    worker = jvm.start(folder, "org.apache.spark.deploy.worker.Worker", *words, *size, *where)

    def watch() -> None:
        worker.wait()
        ended.set()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    stop.wait()
    if ended.is_set():
        return 1
    page = own_page(head, host)
    if page is not None:
        drain(worker, page, settings["drain_budget_s"], ended)
    worker.terminate()
    if not ended.wait(_END_TIMEOUT_S):
        worker.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
