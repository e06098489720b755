"""What a real scheduler in this process is said to have to do."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from distributed import Client, Scheduler, Worker, secede
from distributed.core import connect

from ebbtide.infra.frameworks.dask.demand import WANT_WORKERS, Work, figures
from ebbtide.infra.models.demand import Demand, DemandFigures, Unit

Ask = Callable[[], DemandFigures]
HERE = "127.0.0.1"
GATE, SECEDED = threading.Event(), threading.Event()
"""Tasks run in this process, and end when the first is set."""


def hold(number: int) -> int:
    GATE.wait(30)
    return number


def secede_and_hold() -> None:
    secede()
    SECEDED.set()
    GATE.wait(30)


def on_a_scheduler(
    body: Callable[[Client, Ask, Work], Awaitable[None]], workers: int = 1, **more: Any
) -> None:
    """Run ``body`` on a scheduler with workers of one thread."""

    async def run() -> None:
        async with AsyncExitStack() as stack:
            scheduler = await stack.enter_async_context(
                Scheduler(host=HERE, port=0, dashboard=False, dashboard_address=f"{HERE}:0")
            )
            work = Work()
            scheduler.add_plugin(work)
            scheduler.handlers[WANT_WORKERS] = work.want
            for _ in range(workers):
                worker = Worker(
                    scheduler.address,
                    nthreads=1,
                    dashboard=False,
                    dashboard_address=f"{HERE}:0",
                    **more,
                )
                await stack.enter_async_context(worker)
            client = Client(scheduler.address, asynchronous=True)
            await stack.enter_async_context(client)
            stack.callback(GATE.set)  # also when the body fails: a worker closes when its tasks end
            await body(client, lambda: figures(scheduler, work), work)

    GATE.clear()
    try:
        asyncio.run(asyncio.wait_for(run(), 60))
    finally:
        GATE.set()


async def until(probe: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (value := probe()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return value


def test_ended_tasks_are_counted_well_or_not() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        await client.gather(client.map(abs, range(5)))
        await client.submit(lambda: 1 / 0).exception()
        assert work.finished == 6
        assert ask().backlog_tasks == 0

    on_a_scheduler(body)


def test_tasks_in_line_are_backlog_with_twice_what_the_longest_has_run() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        futures = client.map(hold, range(20))
        first = await until(lambda: ask() if ask().backlog_tasks == 20 else None)
        assert first.backlog_s >= 20 * 0.5 - 0.1
        assert (first.used, first.waiting) == ({"CPU": 1.0}, ())
        await until(lambda: ask().backlog_s > 20)
        assert ask().backlog_tasks == 20
        GATE.set()
        await client.gather(futures)

    on_a_scheduler(body)


def test_task_that_outlives_its_estimate_counts_what_it_has_run() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        GATE.set()
        await client.submit(hold, 1)
        GATE.clear()
        long = client.submit(hold, 2)
        await until(lambda: ask().backlog_s > 1)
        assert ask().backlog_tasks == 1
        GATE.set()
        await long

    on_a_scheduler(body)


def test_task_that_waits_for_others_takes_no_slot() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        future = client.submit(secede_and_hold)
        await until(SECEDED.is_set)
        await until(lambda: (ask().backlog_tasks, ask().used) == (0, {"CPU": 0.0}))
        GATE.set()
        await future

    on_a_scheduler(body)


def test_what_no_worker_offers_waits_by_its_needs() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        futures = [
            *client.map(abs, [1, 2], resources={"GPU": 1}),
            client.submit(max, 1, 2, resources={"CPU": 2}),
            client.submit(min, 1, 2, workers="foo"),
        ]
        await until(lambda: len(ask().waiting) == 3)
        seen = {demand.label: demand.units for demand in ask().waiting}
        assert seen == {
            "abs": (Unit(needs={"GPU": 1.0}, count=2),),
            "max": (Unit(needs={"Dask resource CPU": 2.0}),),
            "min": (Unit(needs={"worker foo": 1.0}),),
        }
        assert ask().backlog_tasks == 0
        await client.cancel(futures)

    on_a_scheduler(body)


def test_resource_that_a_worker_offers_is_backlog() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        future = client.submit(hold, 1, resources={"GPU": 1})
        await until(lambda: ask().backlog_tasks == 1)
        assert ask().waiting == ()
        GATE.set()
        await future

    on_a_scheduler(body, resources={"GPU": 1})


def test_without_a_worker_all_is_backlog() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        futures = [client.submit(abs, 1), client.submit(abs, 2, resources={"GPU": 1})]
        await until(lambda: ask().backlog_tasks == 2)
        assert ask().waiting == ()
        await client.cancel(futures)

    on_a_scheduler(body, workers=0)


def test_workers_are_wanted_while_who_asks_is_connected() -> None:
    async def body(client: Client, ask: Ask, work: Work) -> None:
        asking = []
        for count in (2, 3):
            comm = await connect(client.scheduler.address)
            await comm.write({"op": WANT_WORKERS, "kind": "wait_for_workers", "workers": count})
            assert await comm.read() == "OK"
            asking.append(comm)
        three = Demand(kind="wait_for_workers", units=(Unit(needs={}, count=3),), apart=True)
        assert ask().floor == (three,)
        asking[1].abort()
        await until(lambda: ask().floor[0].units[0].count == 2)
        asking[0].abort()
        await until(lambda: not ask().floor)

    on_a_scheduler(body)
