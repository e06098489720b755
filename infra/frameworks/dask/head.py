"""The Dask scheduler as a process: ``python -m ebbtide.infra.frameworks.dask.head SETTINGS-JSON``.

It imports Dask, the standard library and a few small modules of ours only, to start fast. It
differs from ``dask scheduler`` in four things: it says it is ready once it has answered in its own
protocol, it tells over HTTP what the autoscaler wants to know, its pages want the cluster's secret,
and a shuffle that begins while a worker leaves does not count on that worker.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import dask
from dask.utils import parse_timedelta
from distributed import Scheduler
from distributed.core import Status, rpc
from distributed.scheduler import DEFAULT_EXTENSIONS, WorkerState
from distributed.security import Security
from distributed.shuffle._core import barrier_key
from distributed.shuffle._scheduler_plugin import ShuffleSchedulerPlugin
from tornado import httputil
from tornado.web import Application, RequestHandler

from ebbtide.infra.frameworks import door
from ebbtide.infra.frameworks.dask import demand
from ebbtide.infra.frameworks.dask.configuration import MIN_WORKER_TTL_S, OURS
from ebbtide.infra.frameworks.dask.task_stream import TaskStream
from ebbtide.infra.frameworks.ready import serve_ready
from ebbtide.infra.models.codec import to_data

_IMPORTED_AT = time.time()


class Guarded(httputil.HTTPServerConnectionDelegate):
    """In front of all pages of a server, Bokeh's websockets and those added later included."""

    def __init__(self, pages: httputil.HTTPServerConnectionDelegate, guard: door.Door):
        self._pages = pages
        self._door = guard

    def start_request(
        self, server_conn: object, request_conn: httputil.HTTPConnection
    ) -> httputil.HTTPMessageDelegate:
        """Tornado's call for each request."""
        inner = self._pages.start_request(server_conn, request_conn)
        return Judged(inner, request_conn, self._door.refusal)

    def on_close(self, server_conn: object) -> None:
        """Tornado's call for each connection."""
        self._pages.on_close(server_conn)


class Judged(httputil.HTTPMessageDelegate):
    """One request, which reaches the pages only when its headers are good."""

    def __init__(
        self,
        inner: httputil.HTTPMessageDelegate,
        connection: httputil.HTTPConnection,
        judge: Callable[[str, Any], door.Refusal | None],
    ):
        self._inner, self._connection, self._judge = inner, connection, judge
        self._refused = False

    def headers_received(
        self,
        start_line: httputil.RequestStartLine | httputil.ResponseStartLine,
        headers: httputil.HTTPHeaders,
    ) -> Awaitable[None] | None:
        """Judge, and answer here when it is refused."""
        assert isinstance(start_line, httputil.RequestStartLine)
        refusal = self._judge(start_line.method, headers)
        if refusal is None:
            return self._inner.headers_received(start_line, headers)
        self._refused = True
        body = f"{refusal.message}\n".encode()
        answer = httputil.HTTPHeaders(
            {
                "Content-Type": "text/plain; charset=utf-8",
                "Content-Length": str(len(body)),
                "X-Content-Type-Options": "nosniff",
                "Cache-Control": "no-store",
            }
        )
        if refusal.status == HTTPStatus.UNAUTHORIZED:
            answer["WWW-Authenticate"] = door.CHALLENGE
        line = httputil.ResponseStartLine(
            "HTTP/1.1", refusal.status, HTTPStatus(refusal.status).phrase
        )
        self._connection.write_headers(line, answer, body)
        self._connection.finish()
        return None

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        """A part of the body."""
        return None if self._refused else self._inner.data_received(chunk)

    def finish(self) -> None:
        """The request is complete."""
        if not self._refused:
            self._inner.finish()

    def on_connection_close(self) -> None:
        """The other side has gone."""
        if not self._refused:
            self._inner.on_connection_close()


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


def status(scheduler: Scheduler, work: demand.Work) -> dict[str, Any]:
    """Who has registered and what there is to do, in plain numbers.

    Args:
        scheduler: whose.
        work: its plugin.

    Returns:
        ``FrameworkStatus`` as JSON has it.
    """
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
        "finished": work.finished,
        "demand": to_data(demand.figures(scheduler, work)),
    }


class StatusHandler(RequestHandler):
    """``GET /ebb/status``: read-only, for the autoscaler."""

    def initialize(self, scheduler: Scheduler, work: demand.Work) -> None:
        """Tornado's way to hand over arguments."""
        self.scheduler, self.work = scheduler, work

    def get(self) -> None:
        """Numbers only; no keys, no code."""
        self.write(status(self.scheduler, self.work))


class OpenHandler(RequestHandler):
    """``GET /ebb/open``: on to the dashboard, by a URL without a password."""

    def get(self) -> None:
        """The name it was called by is one of its own."""
        self.redirect(f"http://{self.request.host}/status", status=HTTPStatus.SEE_OTHER)


class StartingHandler(RequestHandler):
    """Every page but our own, until the dashboard is there: it looks again by itself."""

    def get(self) -> None:
        """Not a lasting answer, and browsers come back."""
        self.set_status(HTTPStatus.SERVICE_UNAVAILABLE)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.set_header("Retry-After", "1")
        self.set_header("Refresh", "1")
        self.write("The dashboard is starting; this page looks again each second.\n")


def write_ready(scheduler: Scheduler, host: str, head_file: Path) -> None:
    """Publish where this head answers, all at once.

    Args:
        scheduler: which answers.
        host: by which others reach it.
        head_file: where they look.
    """
    pages = f"http://{host}:{scheduler.http_server.port}"
    ready = {
        "address": f"tls://{host}:{scheduler.port}",
        "dashboard": f"{pages}/status",
        "status_url": f"{pages}/ebb/status",
        "imported_at": _IMPORTED_AT,
    }
    draft = head_file.with_name(f"{head_file.name}.{os.getpid()}")
    draft.write_text(json.dumps(ready))
    draft.rename(head_file)


async def show_dashboard(scheduler: Scheduler) -> None:
    """Importing Bokeh takes as long as importing Dask: nobody has to wait for it."""
    starting = Application([("/.*", StartingHandler)])
    scheduler.http_application.add_application(starting)
    pages = await asyncio.to_thread(importlib.import_module, "distributed.dashboard.scheduler")
    pages.connect(scheduler.http_application, scheduler.http_server, scheduler, prefix="")
    scheduler.http_application.applications.remove(starting)


def configure() -> None:
    """The life of this cluster is the run's, whatever has been left in the user's configuration."""
    dask.config.set(OURS)
    given = parse_timedelta(dask.config.get("distributed.scheduler.worker-ttl"))
    if given is not None and given < MIN_WORKER_TTL_S:
        dask.config.set({"distributed.scheduler.worker-ttl": f"{MIN_WORKER_TTL_S} s"})


async def main(settings: dict[str, Any]) -> None:
    """Serve until ended."""
    configure()
    bind = settings["bind"]
    scheduler = Scheduler(
        protocol="tls",
        host=bind,
        port=settings["port"],
        dashboard=False,
        dashboard_address=f"{bind}:{settings['page_port']}",
        extensions={**DEFAULT_EXTENSIONS, "shuffle": ShufflePlugin},
    )
    # The server listens already, but nothing is taken before this coroutine first waits.
    guard = door.Door(door.read_secret(Path(settings["secrets"])), settings["page_hosts"])
    scheduler.http_server.request_callback = Guarded(scheduler.http_application, guard)
    scheduler.handlers["ebb_in_shuffle"] = lambda address: in_shuffle(scheduler, address)
    work = demand.Work()
    scheduler.handlers[demand.WANT_WORKERS] = work.want
    scheduler.add_plugin(work)
    stream = TaskStream(scheduler, Path(settings["artifacts"]) / "head")
    scheduler.add_plugin(stream)
    await scheduler
    scheduler.http_application.add_handlers(
        ".*",
        [
            ("/ebb/status", StatusHandler, {"scheduler": scheduler, "work": work}),
            (door.OPEN_PATH, OpenHandler),
        ],
    )
    async with rpc(
        scheduler.address, connection_args=Security().get_connection_args("client")
    ) as itself:
        await itself.identity()
    write_ready(scheduler, settings["host"], Path(settings["head_file"]))
    serve_ready(bind, settings["ready_port"], lambda: scheduler.status == Status.running)
    showing = asyncio.create_task(show_dashboard(scheduler))
    keeping = asyncio.create_task(stream.write_regularly())
    await scheduler.finished()
    showing.cancel()
    keeping.cancel()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
