"""A Dask worker as a process that drains when told to stop; its argument is its settings as JSON.

It imports little beside Dask, to start fast. There is no nanny: the supervisor
(locally) or the kubelet restarts a worker and enforces its memory limit, so a nanny would be a
second process a worker for nothing.

The drain, on SIGTERM, loses nothing (shared facts: distributed 2026.8.0, scheduler.retire_workers):

1. Wait until no shuffle counts on this worker, then retire without closing: nothing new starts
   here and what only this worker keeps is copied to others.
2. Wait until running tasks have ended and the scheduler has heard of each.
3. Retire with closing: the last results move, tasks that never started go elsewhere, and out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

import dask
from distributed import Worker
from distributed.comm import CommClosedError
from distributed.core import Status

from ebbtide.infra.frameworks.dask.configuration import DEFAULTS, OURS
from ebbtide.infra.frameworks.ready import serve_ready
from ebbtide.infra.processes.environment import give_back_to_tasks

logger = logging.getLogger("distributed.ebb")

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.1
_NOT_OF_TASKS = ("asyncio", "dask", "distributed", "tornado")
"""What runs beside tasks in this process."""


class Backoff:
    """Growing pauses until a deadline."""

    def __init__(self, deadline: float):
        self.deadline = deadline
        self.pause_s = _FIRST_PAUSE_S

    @property
    def over(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self.deadline

    async def wait(self) -> None:
        """Let some time pass, longer each time."""
        await asyncio.sleep(self.pause_s)
        self.pause_s = min(self.pause_s * 1.5, _LONGEST_PAUSE_S)


async def head_address(head_file: Path, timeout_s: float) -> str:
    """The head's address, once the head has published it.

    Raises:
        TimeoutError: when it has not in time.
    """
    backoff = Backoff(time.monotonic() + timeout_s)
    while not backoff.over:
        if head_file.exists():
            return str(json.loads(head_file.read_text())["address"])
        await backoff.wait()
    raise TimeoutError(f"no head within {timeout_s:.0f} s")


async def drain(worker: Worker, budget_s: float) -> None:
    """Leave without losing anything; past the budget, keep the data and give up running tasks."""
    deadline = time.monotonic() + budget_s
    backoff = Backoff(deadline)
    while not backoff.over:
        if await retire_quietly(worker):
            await running_work_ended(worker, deadline)
            if await retire(worker, close=True):
                return
        await backoff.wait()
    logger.warning("drain budget of %.0f s is used up", budget_s)
    await retire(worker, close=True)


async def drain_unless_left(worker: Worker, finished: asyncio.Future[Any], budget_s: float) -> None:
    """Drain and close, or stop at once when the head has gone: nobody is left to ask.

    A question that is on its way to a head which goes would be waited for, and then the next.

    Args:
        worker: which serves.
        finished: done when it has closed, as it does when the head's connection breaks.
        budget_s: for the drain, in seconds.
    """
    draining = asyncio.ensure_future(drain(worker, budget_s))
    await asyncio.wait([finished, draining], return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        draining.cancel()
        return
    await draining
    await worker.close(reason="drained")


async def retire_quietly(worker: Worker) -> bool:
    """Step 1. False when it cannot be done now: a shuffle needs us, or nobody can take our data."""
    if await worker.scheduler.ebb_in_shuffle(address=worker.address):
        return False
    if not await retire(worker, close=False):
        return False
    if await worker.scheduler.ebb_in_shuffle(address=worker.address):
        worker.status = Status.running  # one began between question and retirement: serve it first
        return False
    return True


async def retire(worker: Worker, *, close: bool) -> bool:
    """Ask the scheduler; False when it refused because nobody can take what only we keep."""
    try:
        retired = await worker.scheduler.retire_workers(
            workers=[worker.address], close_workers=close, remove=close
        )
    except CommClosedError:  # closing us may overtake the answer, or the head is gone
        return True
    return worker.address in retired


async def running_work_ended(worker: Worker, deadline: float) -> None:
    """Step 2. The scheduler learns of a result later than we do, so ask it about each task seen."""
    backoff = Backoff(deadline)
    seen: set[Any] = set()
    while not backoff.over:
        now = {ts.key for ts in worker.state.executing | worker.state.long_running}
        seen |= now
        if not now:
            assigned = await worker.scheduler.processing(workers=[worker.address])
            if not seen & set(assigned.get(worker.address, ())):
                return
        await backoff.wait()


class Quiet(Worker):
    """A worker without Dask's second server, which would show its figures to everybody."""

    def start_http_server(self, *_: Any, **__: Any) -> None:
        """None: the head's pages show all that matters, and want the cluster's secret."""


def let_tasks_have_their_python() -> None:
    """What the user set for any Python, PYTHONWARNINGS above all; Dask itself obeys none of it."""
    give_back_to_tasks(os.environ)
    users = os.environ.get("PYTHONWARNINGS")
    if users:
        warnings._processoptions(users.split(","))  # type: ignore[attr-defined]
        for package in _NOT_OF_TASKS:
            warnings.filterwarnings("default", module=rf"{package}(\.|$)")


def configure() -> None:
    """The life of this worker is the run's; what tasks find is what the user has set, or Dask.

    Dask sets variables for tasks by its nanny, which we have not: one thread for each library.
    """
    dask.config.set(OURS)
    dask.config.update_defaults(DEFAULTS)
    for kind in ("pre-spawn-environ", "environ"):
        for name, value in dask.config.get(f"distributed.nanny.{kind}").items():
            if value is not None:
                os.environ.setdefault(name, str(value))


async def main(settings: dict[str, Any]) -> None:
    """Serve until drained, closed, or left by the head."""
    configure()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    worker = Quiet(
        await head_address(Path(settings["head_file"]), settings["head_wait_s"]),
        name=settings["name"],
        nthreads=settings["nthreads"],
        memory_limit=settings["memory_limit_bytes"],
        # Beside what the user's configuration declares.
        resources={**dask.config.get("distributed.worker.resources"), **settings["resources"]},
        local_directory=str(Path(settings["scratch"]) / "spill"),
        host=settings["bind"],
        dashboard=False,
        death_timeout=settings["head_wait_s"],
    )
    await worker  # until it has registered
    let_tasks_have_their_python()
    serve_ready(settings["bind"], settings["ready_port"], lambda: worker.status == Status.running)
    finished = asyncio.create_task(worker.finished())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([finished, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not finished.done():
        await drain_unless_left(worker, finished, settings["drain_budget_s"])
    stopping.cancel()
    await finished


async def serve(settings: dict[str, Any]) -> NoReturn:
    """Serve, and exit from within the loop, whatever is left in it.

    When the head goes while it is asked, Dask's own end of the worker is under way, and cancelling
    that leaves it waiting for ever (distributed 2026.8.0, tried: once in 25 times when both are
    ended together): ``asyncio.run`` would wait for it as long as the pod's grace.
    """
    try:
        await main(settings)
    except (TimeoutError, OSError) as failure:
        logger.error("worker gave up: %s", failure)
        leave(1)
    except Exception:
        logger.exception("worker failed")
        leave(1)
    leave(0)


def leave(exit_code: int) -> NoReturn:
    """Exit at once: a user's stuck thread must not keep a worker that has nothing left to lose."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(exit_code)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
