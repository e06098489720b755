"""What goes on when a part of the stack stops, is killed, or comes back."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from ebbtide.infra.models.ids import RunName
from tests.helpers import wait_until
from tests.stack.prefect import EBB, Stack

NONE = {"framework": "none"}


@pytest.fixture
def waiting(stack: Stack, tmp_path: Path) -> tuple[str, Path]:
    """A flow run whose program waits for a file, and the file."""
    go = tmp_path / "go"
    id_ = stack.start("run-job/run-job", program="waits.py", arguments=str(go), cluster=NONE)
    stack.has_started(id_)
    return id_, go


def completes(stack: Stack, waiting: tuple[str, Path]) -> None:
    id_, go = waiting
    go.touch()
    state = stack.ended(id_)["state"]
    told = "\n".join(stack.logs(id_))
    assert state["name"] == "Completed", f"{state['message']}\n{told}"
    assert stack.run_of(id_)["phase"] == "Succeeded"


def new_worker(stack: Stack, old: int) -> None:
    wait_until(lambda: stack.info.worker_pid != old, 30, "the stack has a worker again")


def test_job_goes_on_when_its_worker_is_killed(stack: Stack, waiting: Any) -> None:
    worker = stack.info.worker_pid
    os.kill(worker, signal.SIGKILL)
    new_worker(stack, worker)
    completes(stack, waiting)


def test_run_of_a_worker_that_is_stopped_is_crashed_within_two_minutes(
    stack: Stack, waiting: Any
) -> None:
    id_, _ = waiting
    worker = stack.info.worker_pid
    os.kill(worker, signal.SIGTERM)
    new_worker(stack, worker)
    assert stack.ended(id_, timeout_s=120)["state"]["name"] in ("Crashed", "Cancelled")
    stack.nothing_held(id_)


def test_run_killed_with_its_worker_is_crashed_within_two_minutes(
    stack: Stack, waiting: Any
) -> None:
    id_, _ = waiting
    worker = stack.info.worker_pid
    for pid in (worker, stack.flow_pid(id_)):
        os.kill(pid, signal.SIGKILL)
    new_worker(stack, worker)
    assert stack.ended(id_, timeout_s=120)["state"]["name"] == "Crashed"
    stack.nothing_held(id_)


def test_job_goes_on_when_the_server_is_killed_and_its_states_arrive_later(
    stack: Stack, waiting: Any
) -> None:
    server = next(
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if "ebbtide.flows.prefect_server.app:create" in " ".join(process.info["cmdline"] or ())
        and (process.info["environ"] or {}).get("EBB_HOME") == str(stack.home)
    )
    server.kill()
    completes(stack, waiting)


def test_job_goes_on_when_the_work_pool_is_paused(stack: Stack, waiting: Any) -> None:
    stack.pause_pool(paused=True)
    try:
        completes(stack, waiting)
    finally:
        stack.pause_pool(paused=False)


def test_run_of_the_command_line_is_cancelled_from_prefect(stack: Stack, tmp_path: Path) -> None:
    words = [*EBB, "run", "--framework", "none", "--name", "typed", "waits.py", "--"]
    words.append(str(tmp_path / "go"))
    ebb = subprocess.Popen(
        words, cwd=stack.place, env=stack.environment, stderr=subprocess.PIPE, text=True
    )

    def flow_run() -> str | None:
        run = stack.ledger.run(RunName("typed"))
        return run.flow_run_id if run else None

    id_ = wait_until(flow_run, 60, "its flow run is known")
    assert id_ is not None
    stack.set_state(id_, "CANCELLING")
    said = ebb.communicate(timeout=60)[1]
    assert ebb.returncode == 130, said
    assert stack.ended(id_)["state"]["name"] == "Cancelled"
    assert "Held now: nothing" in said


def test_retry_takes_over_the_cluster_of_a_flow_that_was_killed(
    stack: Stack, tmp_path: Path
) -> None:
    """Its worker is dead too, so that nobody else is quicker to release it."""
    go = tmp_path / "go"
    options = {"lease": "60s"}
    id_ = stack.start(
        "run-job/run-job", program="waits.py", arguments=str(go), cluster=NONE, options=options
    )
    stack.has_started(id_)
    worker = stack.info.worker_pid
    for pid in (worker, stack.flow_pid(id_)):
        os.kill(pid, signal.SIGKILL)
    new_worker(stack, worker)
    assert stack.ended(id_, timeout_s=120)["state"]["name"] == "Crashed"
    stack.set_state(id_, "SCHEDULED", "AwaitingRetry")
    wait_until(lambda: stack.state(id_) == "Running", 60, "the retry runs")
    stack.flow_pid(id_)
    go.touch()
    assert stack.ended(id_)["state"]["name"] == "Completed"
    (run,) = stack.ledger.rows("SELECT name FROM runs WHERE flow_run_id = ?", id_)
    clusters = stack.ledger.rows("SELECT id FROM clusters WHERE run = ?", run["name"])
    assert len(clusters) == 1
