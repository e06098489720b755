"""The run's cluster as Dask's own cluster object, for programs that expect a LocalCluster.

Its ``scale`` and ``adapt`` ask for workers within the run's bounds; nothing it is told ends any.
"""

from __future__ import annotations

import asyncio
import atexit
import math
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
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


def address() -> str:
    """Where the head of this run is; empty outside of a run."""
    return os.environ.get(ADDRESS, "")


def bounds() -> tuple[int, int]:
    """How many workers the run has at least and at most."""
    min_workers, _, max_workers = os.environ.get(WORKERS, "1..1").partition("..")
    return int(min_workers), int(max_workers)


class EbbCluster(Cluster):
    """See the module. It lives as long as a client of it, and no worker depends on it."""

    _instances: ClassVar[weakref.WeakSet[EbbCluster]] = weakref.WeakSet()

    def __init__(self, *, asynchronous: bool = False, loop: Any = None):
        super().__init__(
            asynchronous=asynchronous,
            loop=loop,
            quiet=True,
            name=os.environ.get("EBB_RUN"),
            scheduler_sync_interval=_RARELY_S,
        )
        self.security = Security()
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
        self.scheduler_comm = rpc(address(), connection_args=self._connection)
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
        self, *how: Any, minimum: int = 0, maximum: float = math.inf, **more: Any
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
        limit = bounds()[1]
        self._want("cluster.adapt", int(minimum))
        if minimum <= limit < maximum < math.inf:
            say(f"cluster.adapt(maximum={maximum:g}): {_allows(int(maximum))}")
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
        min_workers, max_workers = bounds()
        if workers > max_workers:
            say(f"{kind}({workers}): {_allows(workers)}")
        wanted = min(workers, max_workers)
        self.loop.add_callback(self._ask, kind, wanted if wanted > min_workers else 0)

    async def _ask(self, kind: str, workers: int) -> None:
        """Hold a connection by which so many workers are wanted; 0: none any more."""
        async with self._order:
            before, self._asking = self._asking, None
            if before is not None:
                await before.close()
            if workers:
                self._asking = await self._asked(kind, workers)

    async def _asked(self, kind: str, workers: int) -> Comm:
        comm = await connect(address(), **self._connection)
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
        opened = escape(f"ebb open {self.name}")
        row = (
            f"<tr><td><strong>Open its dashboard:</strong> <code>{opened}</code></td><td></td></tr>"
        )
        return super()._repr_html_(cluster_status=row + (cluster_status or ""))


class Adapting:
    """What ``adapt`` returns: the run's own autoscaler, which nothing in a program stops."""

    def __init__(self, minimum: float, maximum: float):
        self.minimum, self.maximum = minimum, maximum

    def stop(self) -> None:
        """Nothing: the run goes on adapting."""

    close = stop


def _allows(workers: int) -> str:
    limit = bounds()[1]
    plural = "s" * (limit != 1)
    return f"this run may have {limit} worker{plural}; --workers 1..{workers} allows more"


@atexit.register
def _close_all() -> None:
    """Before the event loop ends, so that nothing of it is said to be pending."""
    for cluster in list(EbbCluster._instances):
        if cluster.status not in (Status.closed, Status.created):
            with suppress(TimeoutError, OSError):
                cluster.close(timeout=_CLOSE_TIMEOUT_S)
