"""Work side by side inside one block: when the block is left early, all of it is stopped.

Imports no Prefect. A flow that is cancelled or fails while jobs run in threads must not wait for
them, nor forget them: their clusters are released, then the threads end by themselves in seconds.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from ebbtide.infra.waiting import wait_until

T = TypeVar("T")
P = ParamSpec("P")

_STOP_WITHIN_S = 25.0
"""A Prefect worker kills what it has cancelled after 30 s."""
_STOP_AGAIN_S = 1.0

_group: contextvars.ContextVar[TaskGroup | None] = contextvars.ContextVar(
    "ebb_task_group", default=None
)
_log = logging.getLogger(__name__)


class TaskGroup:
    """Programs and functions side by side: what ``with parallel() as group`` yields."""

    def __init__(self, limit: int | None):
        self._pool = ThreadPoolExecutor(limit or 32, thread_name_prefix="ebb-parallel")
        self._futures: list[Future[Any]] = []
        self._stops: list[Callable[[], object]] = []

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begin ``work(*args, **kwargs)`` in a thread.

        Args:
            work: the function.
            args: its positional arguments.
            kwargs: its keyword arguments.

        Returns:
            A future; its ``result()`` waits for what the function returns, or raises its error.
        """
        context = contextvars.copy_context()
        context.run(_group.set, self)
        future: Future[T] = self._pool.submit(context.run, partial(work, *args, **kwargs))
        self._futures.append(future)
        return future

    @contextlib.contextmanager
    def stopped_by(self, stop: Callable[[], object]) -> Iterator[None]:
        """While inside, ``stop`` is how this thread's work is ended from outside."""
        self._stops.append(stop)
        try:
            yield
        finally:
            self._stops.remove(stop)

    def join(self) -> None:
        """Wait for all of them, then raise what the first failed one raised."""
        errors = [error for future in self._futures if (error := future.exception()) is not None]
        self._pool.shutdown()
        for error in errors[1:]:
            _log.warning("failed as well: %s", error)
        if errors:
            raise errors[0]

    def stop(self) -> None:
        """End everything that was begun, and wait until it has ended."""
        self._pool.shutdown(wait=False, cancel_futures=True)

        def over() -> bool:
            for stop in tuple(self._stops):  # again: what was just being made is stopped as well
                try:
                    stop()
                except Exception as error:
                    _log.warning("could not be stopped yet: %s", error)
            return all(future.done() for future in self._futures)

        if not wait_until(over, timeout_s=_STOP_WITHIN_S, first_s=0.2, longest_s=_STOP_AGAIN_S):
            _log.warning("work that was stopped has not ended; its clusters go with their leases")


@contextlib.contextmanager
def parallel(limit: int | None = None) -> Iterator[TaskGroup]:
    """Jobs, programs or any functions side by side; the block ends when all of them have.

    One that fails does not stop the others, so that a retry of the flow finds them done; its error
    is raised at the end of the block. Leaving the block early stops everything in it.

    Args:
        limit: maximum number that run at once; the others wait. None: 32.
    """
    group = TaskGroup(limit)
    try:
        yield group
        group.join()
    except BaseException:  # a cancelled flow run, Ctrl-C and a suspension are BaseExceptions
        group.stop()
        raise


@contextlib.contextmanager
def stoppable(stop: Callable[[], object]) -> Iterator[None]:
    """Let the block around this thread, if there is one, stop what happens inside."""
    group = _group.get()
    if group is None:
        yield
        return
    with group.stopped_by(stop):
        yield
