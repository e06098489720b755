"""The Dask scheduler as a process: ``python head.py FOLDER DASHBOARD_PORT``.

Run by path, so it may import Dask and the standard library only. It differs from ``dask scheduler``
in three things: it says it is ready once it has answered in its own protocol, it tells over HTTP
what the autoscaler wants to know, and a shuffle that begins while a worker leaves does not count on
that worker.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from distributed import Scheduler
from distributed.core import Status, rpc
from distributed.scheduler import DEFAULT_EXTENSIONS, WorkerState
from distributed.security import Security
from distributed.shuffle._core import barrier_key
from distributed.shuffle._scheduler_plugin import ShuffleSchedulerPlugin
from tornado.web import RequestHandler


class ShufflePlugin(ShuffleSchedulerPlugin):
    """P2P shuffles that do not count on workers that are leaving.

    Dask assigns a shuffle's output partitions to all workers it knows, also to those that are
    closing gracefully and will never start a task again (distributed 2026.8.0,
    ShuffleSchedulerPlugin._calculate_worker_for); such a shuffle restarts, or waits for ever.
    """

    def _calculate_worker_for(self, spec: Any) -> dict[Any, str]:
        barrier = self.scheduler.tasks[barrier_key(spec.id)]
        if barrier.worker_restrictions:
            return super()._calculate_worker_for(spec)
        barrier.worker_restrictions = {
            ws.address for ws in self.scheduler.workers.values() if ws.status == Status.running
        }
        try:
            return super()._calculate_worker_for(spec)
        finally:
            barrier.worker_restrictions = None


def in_shuffle(scheduler: Scheduler, address: str) -> bool:
    """Whether an active shuffle has data of this worker, or expects it to take some."""
    return any(
        address in shuffle.participating_workers or address in shuffle.run_spec.worker_for.values()
        for shuffle in scheduler.extensions["shuffle"].active_shuffles.values()
    )


def stays_because(scheduler: Scheduler, ws: WorkerState) -> str:
    """Why this worker must not be chosen to leave; empty if it may."""
    if ws.actors:
        return "it holds an actor"
    if in_shuffle(scheduler, ws.address):
        return "it takes part in a shuffle"
    if ws.long_running:
        return "a task on it waits for tasks of its own"
    return ""


def status(scheduler: Scheduler) -> dict[str, Any]:
    """Who has registered and what there is to do, in plain numbers."""
    workers = {
        str(ws.name): {
            "running": min(len(ws.processing), ws.nthreads),
            "queued": max(0, len(ws.processing) - ws.nthreads),
            "stored_bytes": ws.nbytes,
            "leaving": ws.status not in (Status.running, Status.paused),
            "stays_because": stays_because(scheduler, ws),
        }
        for ws in scheduler.workers.values()
    }
    return {
        "workers": workers,
        "running": sum(len(ws.processing) for ws in scheduler.workers.values()),
        "queued": len(scheduler.queued) + len(scheduler.unrunnable),
    }


class StatusHandler(RequestHandler):
    """``GET /ebb/status``: read-only, for the autoscaler."""

    def initialize(self, scheduler: Scheduler) -> None:
        """Tornado's way to hand over arguments."""
        self.scheduler = scheduler

    def get(self) -> None:
        """Numbers only; no keys, no code."""
        self.write(status(self.scheduler))


def write_ready(scheduler: Scheduler, folder: Path) -> None:
    """Publish where this head answers, all at once."""
    port = scheduler.http_server.port
    ready = {
        "address": scheduler.address,
        "dashboard": f"http://127.0.0.1:{port}/status",
        "status_url": f"http://127.0.0.1:{port}/ebb/status",
    }
    draft = folder / f"head.json.{os.getpid()}"
    draft.write_text(json.dumps(ready))
    draft.rename(folder / "head.json")


async def show_dashboard(scheduler: Scheduler) -> None:
    """Importing Bokeh takes as long as importing Dask: nobody has to wait for it."""
    pages = await asyncio.to_thread(importlib.import_module, "distributed.dashboard.scheduler")
    pages.connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="")


async def main(folder: Path, dashboard_port: int) -> None:
    """Serve until ended."""
    scheduler = Scheduler(
        protocol="tls",
        host="127.0.0.1",
        port=0,
        dashboard=False,
        dashboard_address=f"127.0.0.1:{dashboard_port}",
        extensions={**DEFAULT_EXTENSIONS, "shuffle": ShufflePlugin},
    )
    scheduler.handlers["ebb_in_shuffle"] = lambda address: in_shuffle(scheduler, address)
    await scheduler
    scheduler.http_application.add_handlers(
        ".*", [("/ebb/status", StatusHandler, {"scheduler": scheduler})]
    )
    async with rpc(
        scheduler.address, connection_args=Security().get_connection_args("client")
    ) as itself:
        await itself.identity()
    write_ready(scheduler, folder)
    showing = asyncio.create_task(show_dashboard(scheduler))
    await scheduler.finished()
    showing.cancel()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
