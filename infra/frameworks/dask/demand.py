"""What waits in Dask's scheduler, as figures for the autoscaler; runs in the head.

Dask's own estimates are used: the mean duration of a function's tasks, twice the longest run so far
while none has ended, and half a second (``unknown-task-duration``) before anything is known.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import Any

from distributed import Scheduler
from distributed.comm import Comm, CommClosedError
from distributed.core import Status
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.scheduler import TaskState, WorkerState

from ebbtide.infra.models.demand import Amounts, Demand, DemandFigures, Unit

WANT_WORKERS = "ebb_want_workers"
"""The operation by which a client asks for workers: for as long as its connection lives."""

_CPU = "CPU"
_OFFERED = (_CPU, "memory")
"""What each of our workers offers. Dask's own resources of these names are other things."""
_LOOKED_AT = 1000
"""So many tasks without a worker are looked at; more would ask for no more workers."""


class Work(SchedulerPlugin):
    """What a scheduler does not keep: how many tasks have ended, and what its clients ask for."""

    name = "ebb-work"

    def __init__(self) -> None:
        self.finished = 0
        """Tasks that have ended, well or not."""
        self._asked: dict[Comm, tuple[str, int]] = {}

    def transition(self, key: Any, start: str, finish: str, *_: Any, **__: Any) -> None:
        """Dask's call for each step in a task's life.

        Args:
            key: of the task.
            start: its state before.
            finish: its state now.
            _: more that Dask may tell.
            __: more that Dask tells.
        """
        del key
        if start == "processing" and finish in ("memory", "erred"):
            self.finished += 1

    async def want(self, comm: Comm, kind: str, workers: int) -> Status:
        """The handler of ``WANT_WORKERS``; it ends when the client lets go, or has died.

        Args:
            comm: the connection.
            kind: what was called, such as ``wait_for_workers``.
            workers: how many there must be.

        Returns:
            What makes Dask answer nothing more.
        """
        self._asked[comm] = (kind, int(workers))
        try:
            await comm.write("OK")
            while True:
                await comm.read()
        except CommClosedError:
            return Status.dont_reply
        finally:
            del self._asked[comm]

    def floor(self) -> tuple[Demand, ...]:
        """The largest that clients ask for: each means a number of workers in all."""
        if not self._asked:
            return ()
        kind, workers = max(self._asked.values(), key=lambda asked: asked[1])
        return (Demand(kind=kind, units=(Unit(needs={}, count=workers),), apart=True),)


def figures(scheduler: Scheduler, work: Work) -> DemandFigures:
    """All that is known of work now.

    Args:
        scheduler: whose.
        work: its plugin.

    Returns:
        Its figures; tasks that have left their thread (``secede``) count nothing.
    """
    waiting, ready = _without_worker(scheduler)
    expected_s, workers = scheduler._get_prefix_duration, scheduler.workers.values()
    prefixes = scheduler.task_prefixes.values()
    queued_s = sum(p.states["queued"] * expected_s(p) for p in prefixes if p.states["queued"])
    ready_s = sum(expected_s(task.prefix) for task in ready)
    running = {w.address: len(w.processing) - len(w.long_running) for w in workers}
    slots = sum(min(running[worker.address], worker.nthreads) for worker in workers)
    return DemandFigures(
        waiting=waiting,
        floor=work.floor(),
        backlog_tasks=sum(running.values()) + len(scheduler.queued) + len(ready),
        backlog_s=sum(_seconds(scheduler, worker) for worker in workers) + queued_s + ready_s,
        used={_CPU: float(slots)},
    )


def _seconds(scheduler: Scheduler, worker: WorkerState) -> float:
    """For what is assigned to a worker.

    A task that runs for longer than was expected counts what it has run.
    """
    total = sum(
        count * scheduler._get_prefix_duration(scheduler.task_prefixes[name])
        for name, count in worker.task_prefix_count.items()
    )
    for task, ran_s in worker.executing.items():
        if task in worker.processing and task not in worker.long_running:
            total += max(0.0, ran_s - scheduler._get_prefix_duration(task.prefix))
    return total


def _without_worker(scheduler: Scheduler) -> tuple[tuple[Demand, ...], list[TaskState]]:
    """Tasks that no worker may take, and those that only have none at this moment."""
    kinds: Counter[tuple[str, tuple[tuple[str, float], ...]]] = Counter()
    ready = []
    for task in islice(scheduler.unrunnable, _LOOKED_AT):
        needs = _unmet(scheduler, task)
        if needs:
            kinds[task.prefix.name, tuple(sorted(needs.items()))] += 1
        else:
            ready.append(task)
    waiting = (
        Demand(kind="task", units=(Unit(needs=dict(needs), count=count),), label=label)
        for (label, needs), count in kinds.items()
    )
    return tuple(waiting), ready


def _unmet(scheduler: Scheduler, task: TaskState) -> Amounts:
    """What it asks for and no worker offers; nothing while there is no worker at all."""
    workers = scheduler.workers.values()
    if not workers or any(_has(w, task) and _is_at(scheduler, w, task) for w in workers):
        return {}
    needs = {} if any(_has(worker, task) for worker in workers) else _resources(task)
    if not any(_is_at(scheduler, worker, task) for worker in workers):
        needs["worker " + " or ".join(sorted(map(str, _places(task))))] = 1.0
    return needs or {"a worker that meets all its restrictions": 1.0}


def _has(worker: WorkerState, task: TaskState) -> bool:
    wanted = (task.resource_restrictions or {}).items()
    return all(worker.resources.get(name, 0) >= amount for name, amount in wanted)


def _is_at(scheduler: Scheduler, worker: WorkerState, task: TaskState) -> bool:
    """Dask takes names of workers and of hosts as alternatives."""
    places = _places(task)
    hosts = map(scheduler.coerce_hostname, task.host_restrictions or ())
    return not places or worker.address in places or worker.host in hosts


def _places(task: TaskState) -> set[str]:
    return (task.worker_restrictions or set()) | (task.host_restrictions or set())


def _resources(task: TaskState) -> Amounts:
    return {
        f"Dask resource {name}" if name in _OFFERED else name: float(amount)
        for name, amount in (task.resource_restrictions or {}).items()
    }
