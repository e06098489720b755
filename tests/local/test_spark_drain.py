"""A Spark worker is told to leave while its executor, or that of another, is still starting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.frameworks.base import WorkerStatus
from ebbtide.infra.frameworks.heads import ask_status, published
from ebbtide.infra.frameworks.spark.jvm import children
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.layout import Layout
from ebbtide.infra.settings import Settings
from tests.clusters import Stand, run_spec, script, standing
from tests.contract.conftest import small
from tests.helpers import wait_until

DRIVER = """
from pyspark.sql import SparkSession
session = SparkSession.builder.getOrCreate()
print("connected", flush=True)
input()
"""
CACHES = """
from pyspark import StorageLevel
from pyspark.sql import SparkSession
context = SparkSession.builder.getOrCreate().sparkContext
stored = context.parallelize(range(4), 4).map(lambda item: bytes([item]) * 5000)
stored.persist(StorageLevel.MEMORY_AND_DISK).count()
print("cached", flush=True)
input()
(found,) = context._jsc.sc().getRDDStorageInfo()
print(found.numCachedPartitions(), flush=True)
input()
"""


@contextmanager
def driver(stand: Stand, program: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has connected and does nothing."""
    environment = {**os.environ, **stand.view.driver_env}
    argv, pipe = [sys.executable, str(program)], subprocess.PIPE
    with subprocess.Popen(argv, env=environment, stdin=pipe, stdout=pipe) as process:
        try:
            yield process
        finally:
            process.kill()


def known(stand: Stand) -> Iterable[WorkerStatus]:
    """What the head knows of workers."""
    layout = Layout(Settings(home=stand.home).cluster_folder(stand.attempt.cluster))
    head = published(layout.head_file, layout.secrets)
    status = ask_status(head) if head is not None else None
    return status.workers.values() if status is not None else ()


def leaving(stand: Stand) -> bool:
    """Whether the master knows of a worker that drains."""
    return any(worker.leaving for worker in known(stand))


def workers_of(stand: Stand) -> set[int]:
    """The processes that have the workers' JVMs as children."""
    marked = {each.pid for each in marks.marked(stand.home) if each.role == "worker"}
    return marked - {child for pid in marked for child in children(pid)}


def executor_of(worker: int) -> int:
    """The JVM that a worker's JVM has started for a driver, as soon as there is one."""
    (jvm,) = wait_until(lambda: children(worker), 60, "the worker's JVM runs")
    (executor,) = wait_until(lambda: children(jvm), 120, "an executor starts")
    return executor


def test_executor_that_registers_after_its_worker_was_told_to_leave_does_not_keep_it(
    ebb_home: Path, tmp_path: Path
) -> None:
    spec, program = run_spec("late", small("spark")), script(tmp_path, DRIVER)
    with standing(ebb_home, spec, autoscale=False) as stand, driver(stand, program):
        (worker,) = workers_of(stand)
        executor = executor_of(worker)
        os.kill(executor, signal.SIGSTOP)  # before it has registered with the driver
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: leaving(stand), 60, "the master has told the driver")
        os.kill(executor, signal.SIGCONT)
        wait_until(lambda: not Path(f"/proc/{worker}").exists(), 120, "the worker has left")


def test_worker_keeps_its_blocks_until_the_executor_of_another_can_take_them(
    ebb_home: Path, tmp_path: Path
) -> None:
    cluster = small("spark")
    two = replace(cluster, policy=replace(cluster.policy, min_workers=2))
    program = script(tmp_path, CACHES)
    with (
        standing(ebb_home, run_spec("keeps", two), autoscale=False) as stand,
        driver(stand, program) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        worker, other = workers_of(stand)
        starting = executor_of(other)
        os.kill(starting, signal.SIGSTOP)  # before it has registered with the driver
        assert process.stdout.readline() == b"cached\n"
        wait_until(lambda: any(each.stored_bytes for each in known(stand)), 60, "it is known")
        os.kill(worker, signal.SIGTERM)
        with pytest.raises(AssertionError, match="it drains"):
            wait_until(lambda: leaving(stand), 4, "it drains")
        os.kill(starting, signal.SIGCONT)
        wait_until(lambda: not Path(f"/proc/{worker}").exists(), 120, "the worker has left")
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"4\n"
