"""A Dask worker that is told to leave, without a cluster."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from types import SimpleNamespace
from typing import Any

import pytest

from ebbtide.infra.frameworks.dask.worker import drain_unless_left

NO_END_S = 3600.0


def test_drain_stops_when_the_head_goes_while_it_is_asked() -> None:
    """The head's answer never comes; the worker has closed as its connection broke."""

    async def never(**_: Any) -> None:
        await asyncio.Event().wait()

    async def left() -> None:
        worker: Any = SimpleNamespace(
            address="here", scheduler=SimpleNamespace(ebb_in_shuffle=never)
        )
        finished = asyncio.get_running_loop().create_future()
        leaving = asyncio.create_task(drain_unless_left(worker, finished, NO_END_S))
        await asyncio.sleep(0)
        finished.set_result(None)
        await asyncio.wait_for(leaving, 5)

    asyncio.run(left())


def test_drain_that_cannot_be_done_is_an_error_of_the_worker() -> None:
    async def gone(**_: Any) -> None:
        raise OSError("nobody answers")

    async def fails() -> None:
        worker: Any = SimpleNamespace(
            address="here", scheduler=SimpleNamespace(ebb_in_shuffle=gone)
        )
        await drain_unless_left(worker, asyncio.get_running_loop().create_future(), NO_END_S)

    with pytest.raises(OSError, match="nobody answers"):
        asyncio.run(fails())


LOSES_ITS_HEAD = """
    import asyncio
    from ebbtide.infra.frameworks.dask import worker

    async def stubborn():
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    async def main(_):
        worker.kept = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        raise OSError("nobody answers")

    worker.main = main
    asyncio.run(worker.serve({}))
    """


def test_worker_that_lost_its_head_ends_whatever_is_left_in_its_loop() -> None:
    """As Dask's own end of a worker is, when the head goes while it is asked."""
    code = textwrap.dedent(LOSES_ITS_HEAD)
    argv = [sys.executable, "-c", code]
    ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "nobody answers" in ended.stderr
