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
from pathlib import Path
from typing import Any

from ebbtide.infra.frameworks import door
from ebbtide.infra.frameworks.spark import jvm, pages
from ebbtide.infra.frameworks.workers import Backoff, told_to_leave, wait_for_head
from ebbtide.infra.processes.environment import give_back_to_tasks

_END_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 0.5
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
    master = jvm.ask(f"{head['dashboard']}/json/", door.basic(door.read_secret(secrets)))
    pages = [w["webuiaddress"] for w in (master or {"workers": ()})["workers"] if w["host"] == host]
    return str(pages[0]) if pages else None


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


def keep_logs(work: Path, kept: Path) -> None:
    """Give what executors print, and have printed, a second place that outlives the cluster.

    The same file, so that it is there to its end however the executor or this worker ends. Jars and
    data of users lie beside it, which are nobody's to keep.

    Args:
        work: the worker's folder, with one for each application and in it one for each executor.
        kept: below which the same folders are made; on the same file system.
    """
    for log in work.glob("app-*/*/std*"):
        place = kept / log.relative_to(work)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(log, place)


def main(settings: dict[str, Any]) -> int:
    """Serve until drained, or left by the JVM."""
    scratch, host = Path(settings["scratch"]), settings["host"]
    stop, ended = told_to_leave(), threading.Event()
    head = wait_for_head(Path(settings["head_file"]), settings["head_wait_s"], stop)
    if head is None:
        return 0 if stop.is_set() else 1
    os.environ["PYTHONPATH"] = settings["import_path"]  # for executors: users' modules
    give_back_to_tasks(os.environ)
    arguments = ("--host", host, "--port", "0", "--webui-port", "0")
    size = ("--cores", str(settings["cores"]), "--memory", f"{settings['memory_mib']}m")
    work, kept = scratch / "work" / settings["name"], Path(settings["artifacts"]) / settings["name"]
    where = ("--work-dir", str(work), head["address"])
    worker = jvm.start(scratch, "org.apache.spark.deploy.worker.Worker", *arguments, *size, *where)

    def watch() -> None:
        worker.wait()
        ended.set()
        stop.set()

    threading.Thread(target=watch, daemon=True).start()
    while not stop.wait(_LOOK_EVERY_S):
        keep_logs(work, kept)
    died = ended.is_set()
    if not died:
        _leave(worker, settings, head, ended)
    keep_logs(work, kept)
    return 1 if died else 0


def _leave(
    worker: subprocess.Popen[bytes],
    settings: dict[str, Any],
    head: dict[str, str],
    ended: threading.Event,
) -> None:
    secrets = Path(settings["secrets"])
    page = own_page(head, secrets, settings["host"])
    if page is not None:
        key = pages.bearer(secrets)
        drain(worker, lambda: jvm.ask(f"{page}/json/", key), settings["drain_budget_s"], ended)
    worker.terminate()
    if not ended.wait(_END_TIMEOUT_S):
        worker.kill()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
