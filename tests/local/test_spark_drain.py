"""A Spark worker is told to leave while its executor is still starting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


@contextmanager
def driver(stand: Stand, program: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that has connected and does nothing."""
    environment = {**os.environ, **stand.view.driver_env}
    argv, pipe = [sys.executable, str(program)], subprocess.PIPE
    with subprocess.Popen(argv, env=environment, stdin=pipe, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def leaving(stand: Stand) -> bool:
    """Whether the master knows of a worker that drains."""
    layout = Layout(Settings(home=stand.home).cluster_folder(stand.attempt.cluster))
    head = published(layout.head_file, layout.secrets)
    status = ask_status(head) if head is not None else None
    return status is not None and any(worker.leaving for worker in status.workers.values())


def test_executor_that_registers_after_its_worker_was_told_to_leave_does_not_keep_it(
    ebb_home: Path, tmp_path: Path
) -> None:
    spec, program = run_spec("late", small("spark")), script(tmp_path, DRIVER)
    with standing(ebb_home, spec, autoscale=False) as stand, driver(stand, program):
        marked = {each.pid for each in marks.marked(ebb_home) if each.role == "worker"}
        (worker,) = marked - {child for pid in marked for child in children(pid)}
        (jvm,) = wait_until(lambda: children(worker), 60, "the worker's JVM runs")
        (executor,) = wait_until(lambda: children(jvm), 120, "an executor starts")
        os.kill(executor, signal.SIGSTOP)  # before it has registered with the driver
        os.kill(worker, signal.SIGTERM)
        wait_until(lambda: leaving(stand), 60, "the master has told the driver")
        os.kill(executor, signal.SIGCONT)
        wait_until(lambda: not Path(f"/proc/{worker}").exists(), 120, "the worker has left")
