"""The run's cluster as Dask's own cluster object, for programs that expect a LocalCluster.

Its ``scale`` and ``adapt`` ask for workers within the run's bounds; nothing it is told ends any.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

from distributed.comm import Comm
from distributed.core import Status, connect, rpc
from distributed.deploy.cluster import Cluster
from distributed.security import Security
from distributed.utils import NoOpAwaitable

from ebbtide.infra.frameworks.bootstrap import say
from ebbtide.infra.frameworks.dask.configuration import ADDRESS, WORKERS

_WANT_WORKERS = "ebb_want_workers"
"""See ``demand``, which is the other side."""
_CLOSE_TIMEOUT_S = 10
_RARELY_S = 3600


@dataclass(frozen=True, slots=True)
class Given:
    """What a process knows of its run's cluster."""

    address: str
    min_workers: int
    max_workers: int
    run: str | None
    """Its name; None in a session, which is not told it."""

    def more(self, workers: int) -> str:
        """Say that it may not have so many, and what allows them."""
        has = f"{self.max_workers} worker{'s' * (self.max_workers != 1)}"
        return f"this run may have {has}; --workers 1..{workers} allows more"


def given(environ: Mapping[str, str] = os.environ) -> Given | None:
    """What ``Dask.driver_env`` says; None outside of a run."""
    if ADDRESS not in environ or WORKERS not in environ:
        return None
    min_workers, _, max_workers = environ[WORKERS].partition("..")
    return Given(environ[ADDRESS], int(min_workers), int(max_workers), environ.get("EBB_RUN"))


class EbbCluster(Cluster):
    """See the module. It lives as long as a client of it, and no worker depends on it."""

    _instances: ClassVar[weakref.WeakSet[EbbCluster]] = weakref.WeakSet()

    def __init__(
        self,
        run: Given,
        *,
        security: Security | None = None,
        asynchronous: bool = False,
        loop: Any = None,
    ):
        super().__init__(
            asynchronous=asynchronous,
            loop=loop,
            quiet=True,
            name=run.run,
            scheduler_sync_interval=_RARELY_S,
        )
        self.security = security or Security()
        self._run = run
        self._asking: Comm | None = None
        self._order = asyncio.Lock()
        self._instances.add(self)
        if not asynchronous:
            self._loop_runner.start()
            self.sync(self._start)

    def __await__(self) -> Any:
        async def started() -> EbbCluster:
            if self.status == Status.created:
                await self._start()
            return self

        return started().__await__()

    def __del__(self, *_: Any) -> None:
        """Nothing is lost with it, so nothing is said, as Dask's own would."""

    async def _start(self) -> None:
        self.scheduler_comm = rpc(self._run.address, connection_args=self._connection)
        await super()._start()

    async def _close(self) -> None:
        await self._ask("", 0)
        await super()._close()

    @property
    def _connection(self) -> dict[str, Any]:
        return dict(self.security.get_connection_args("client"))

    @property
    def scheduler(self) -> Any:
        """The scheduler as an RPC, which has an address as Dask's own object has."""
        return self.scheduler_comm

    @property
    def workers(self) -> dict[str, Any]:
        """What the scheduler knows of each worker, by its name."""
        return {info["name"]: info for info in self.scheduler_info["workers"].values()}

    def scale(self, n: int = 0, memory: Any = None, cores: int | None = None) -> Any:
        """Ask for so many workers in all, until this is called again.

        Args:
            n: workers.
            memory: of all workers together, in bytes.
            cores: threads of all workers together.

        Returns:
            Nothing; something to await where the cluster is asynchronous.
        """
        wanted = max(
            n, self._as_workers(memory, "memory_limit"), self._as_workers(cores, "nthreads")
        )
        self._want("cluster.scale", wanted)
        return NoOpAwaitable() if self.asynchronous else None

    def adapt(
        self, *how: Any, minimum: int | None = 0, maximum: float | None = math.inf, **more: Any
    ) -> Adapting:
        """Ask for at least ``minimum`` workers; beyond that the run adapts by itself.

        Args:
            how: Dask's own would adapt, which it does not do here.
            minimum: how many workers there shall be at least.
            maximum: told where the run's own is another.
            more: of how Dask's own would adapt.

        Returns:
            What a program may stop without an effect.
        """
        del how, more
        limit = self._run.max_workers
        minimum, maximum = int(minimum or 0), maximum or math.inf
        self._want("cluster.adapt", minimum)
        if minimum <= limit < maximum < math.inf:
            say(f"cluster.adapt(maximum={maximum:g}): {self._run.more(int(maximum))}")
        elif maximum < limit:
            adapts = f"this run adapts by itself, up to {limit} workers"
            lower = f"--workers 1..{maximum:g} keeps it lower"
            say(f"cluster.adapt(maximum={maximum:g}): {adapts}; {lower}")
        return Adapting(minimum, maximum)

    def _as_workers(self, amount: Any, offered: str) -> int:
        from dask.utils import parse_bytes

        one = next((info[offered] for info in self.workers.values()), 0)
        total = parse_bytes(amount) if isinstance(amount, str) else amount
        return math.ceil(total / one) if total and one else 0

    def _want(self, kind: str, workers: int) -> None:
        if workers > self._run.max_workers:
            say(f"{kind}({workers}): {self._run.more(workers)}")
        wanted = min(workers, self._run.max_workers)
        self.loop.add_callback(self._ask, kind, wanted if wanted > self._run.min_workers else 0)

    async def _ask(self, kind: str, workers: int) -> None:
        """Hold a connection by which so many workers are wanted; 0: none any more."""
        async with self._order:
            before, self._asking = self._asking, None
            if before is not None:
                await before.close()
            if workers:
                with suppress(OSError):  # a head that has gone gives none
                    self._asking = await self._asked(kind, workers)

    async def _asked(self, kind: str, workers: int) -> Comm:
        comm = await connect(self._run.address, **self._connection)
        await comm.write({"op": _WANT_WORKERS, "kind": kind, "workers": workers})
        await comm.read()
        return comm

    @asynccontextmanager
    async def _wanting(self, workers: int) -> AsyncIterator[None]:
        comm = None
        with suppress(OSError):  # then it is waited for what comes by itself
            comm = await self._asked("wait_for_workers", workers)
        try:
            yield
        finally:
            if comm is not None:
                await comm.close()

    async def _wait_for_workers(self, n_workers: int = 0, timeout: Any = None) -> None:
        async with self._wanting(n_workers):
            await super()._wait_for_workers(n_workers, timeout)

    def _repr_html_(self, cluster_status: str | None = None) -> str:
        row = ""
        if self._run.run is not None:
            opened = f"<strong>Opened by:</strong> <code>ebb open {escape(self._run.run)}</code>"
            row = f'<tr><td style="text-align: left;">{opened}</td></tr>'
        return super()._repr_html_(cluster_status=row + (cluster_status or ""))


class Adapting:
    """What ``adapt`` returns: the run's own autoscaler, which nothing in a program stops."""

    def __init__(self, minimum: float, maximum: float):
        self.minimum, self.maximum = minimum, maximum

    def stop(self) -> None:
        """Nothing: the run goes on adapting."""

    close = stop


@atexit.register
def _close_all() -> None:
    """Before the event loop ends, so that nothing of it is said to be pending."""
    for cluster in list(EbbCluster._instances):
        if cluster.status not in (Status.closed, Status.created):
            with suppress(TimeoutError, OSError):
                cluster.close(timeout=_CLOSE_TIMEOUT_S)
