"""A run that Prefect starts: how it looks there, and what is refused."""

from __future__ import annotations

import subprocess
import urllib.error
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.models.phases import Step
from tests.helpers import wait_until
from tests.stack.prefect import EBB, Stack

NONE = {"framework": "none"}


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    """A flow run of a program that has ended well; many look at it."""
    id_ = stack.start("run-job/run-job", program="floods.py", cluster=NONE, options={"tag": "t"})
    assert stack.ended(id_)["state"]["name"] == "Completed"
    return id_


def test_run_is_named_like_its_flow_run(stack: Stack, done: str) -> None:
    assert stack.run_of(done)["name"] == stack.flow_run(done)["name"]


def test_flow_run_has_a_task_for_each_step(stack: Stack, done: str) -> None:
    query = {"flow_runs": {"id": {"any_": [done]}}}

    def completed() -> set[str]:
        tasks = stack.ask("task_runs/filter", query)
        return {task["name"] for task in tasks if task["state_name"] == "Completed"}

    wait_until(lambda: completed() == set(Step), 30, "seven tasks are recorded")


def progress(stack: Stack, id_: str) -> str:
    """What the run does now, as one reads it above its progress, which is Markdown."""
    found = stack.artifacts(id_).get("progress")
    return str(found["description"]).replace("\\", "") if found else ""


def test_progress_artifact_says_what_it_does(stack: Stack, tmp_path: Path) -> None:
    go = tmp_path / "go"
    id_ = stack.start("run-job/run-job", program="waits.py", arguments=str(go), cluster=NONE)
    stack.has_started(id_)
    wait_until(lambda: progress(stack, id_).startswith("autoscaler: "), 30, "it says its step")
    go.touch()
    assert stack.ended(id_)["state"]["name"] == "Completed"


def test_progress_artifact_is_full(stack: Stack, done: str) -> None:
    progress = stack.artifacts(done)["progress"]
    assert (progress["type"], progress["data"]) == ("progress", 100)


def test_receipt_and_plot_are_artifacts(stack: Stack, done: str) -> None:
    found = stack.artifacts(done)
    assert "worker-seconds asked" in found["receipt"]["data"]
    assert found["workers"]["data"].startswith("![workers](data:image/svg+xml;base64,")


def test_flood_of_output_is_cut_and_the_rest_is_told(stack: Stack, done: str) -> None:
    def told() -> bool:
        return any("more lines; all of them: ebb logs" in line for line in stack.logs(done))

    wait_until(told, 30, "the log says how many lines it left out")
    assert sum(line.startswith("line ") for line in stack.logs(done)) <= 1000
    name = stack.run_of(done)["name"]
    whole = subprocess.run(
        [*EBB, "logs", name], env=stack.environment, capture_output=True, text=True, check=True
    )
    assert len(whole.stdout.splitlines()) == 20000


def test_value_out_of_bounds_is_refused_before_there_is_a_run(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        stack.start("run-job/run-job", cluster={**NONE, "max_workers": 0})
    assert error.value.code == 409
    assert "cluster.max_workers" in error.value.read().decode()


def test_what_is_wrong_together_is_refused_in_words_and_nothing_is_made(stack: Stack) -> None:
    id_ = stack.start(
        "run-job/run-job", program="missing.py", cluster={"initial_workers": 5, "max_workers": 2}
    )
    message = stack.ended(id_)["state"]["message"]
    assert "missing.py" in message
    assert "5..2" in message
    assert stack.ledger.row("SELECT 1 FROM runs WHERE flow_run_id = ?", id_) is None


def test_failed_program_is_a_failed_flow_run_that_carries_the_reason(stack: Stack) -> None:
    mark = str(stack.place / "never" / "there")
    id_ = stack.start("run-job/run-job", program="fails_once.py", arguments=mark, cluster=NONE)
    state = stack.ended(id_)["state"]
    assert state["name"] == "Failed"
    assert "JOB:EXIT_CODE" in state["message"]


def test_retry_in_prefect_runs_what_failed_again(stack: Stack) -> None:
    mark = str(stack.place / "failed-once")
    id_ = stack.start("run-job/run-job", program="fails_once.py", arguments=mark, cluster=NONE)
    assert stack.ended(id_)["state"]["name"] == "Failed"
    stack.set_state(id_, "SCHEDULED", "AwaitingRetry")
    wait_until(lambda: stack.state(id_) == "Completed", 60, "the retry completes")


def test_retry_in_prefect_does_not_run_again_what_has_succeeded(stack: Stack, done: str) -> None:
    before = len(stack.ledger.rows("SELECT 1 FROM runs WHERE flow_run_id = ?", done))
    stack.set_state(done, "SCHEDULED", "AwaitingRetry")
    wait_until(lambda: stack.flow_run(done)["run_count"] > 1, 60, "it runs again")
    assert stack.ended(done)["state"]["name"] == "Completed"
    assert len(stack.ledger.rows("SELECT 1 FROM runs WHERE flow_run_id = ?", done)) == before


def test_schedule_starts_a_run(stack: Stack) -> None:
    id_ = stack.ask("deployments/name/run-job/run-job")["id"]
    parameters = {"program": "quick.py", "cluster": NONE}
    schedule = {"schedule": {"interval": 20}, "active": True, "parameters": parameters}
    (made,) = stack.ask(f"deployments/{id_}/schedules", [schedule])
    query = {"deployments": {"id": {"any_": [id_]}}, "sort": "START_TIME_DESC"}

    def completed() -> list[Any]:
        runs = stack.ask("flow_runs/filter", query)
        return [r for r in runs if r["auto_scheduled"] and r["state_type"] == "COMPLETED"]

    try:
        wait_until(completed, 90, "a scheduled run has completed")
    finally:
        stack.tell("DELETE", f"deployments/{id_}/schedules/{made['id']}")


@pytest.fixture(scope="module")
def held_back(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A flow run that has waited in the queue, was admitted and has ended well."""
    alone = {**NONE, "tier": "single"}
    go = tmp_path_factory.mktemp("held-back") / "go"
    first = stack.start("run-job/run-job", program="waits.py", arguments=str(go), cluster=alone)
    stack.has_started(first)
    second = stack.start("run-job/run-job", program="quick.py", cluster=alone)
    words = "CAPACITY:RUNS_AT_MAX nodes: tier single allows 1 run at once"

    def waits() -> bool:
        said = progress(stack, second)
        return said.startswith(words) and "position 1 in the queue" in said

    wait_until(waits, 60, "it says where it stands")
    go.touch()
    assert stack.ended(second)["state"]["name"] == "Completed"
    return second


def test_run_that_a_limit_holds_back_says_its_position_in_its_log(
    stack: Stack, held_back: str
) -> None:
    def said() -> bool:
        return any("position 1 in the queue" in line for line in stack.logs(held_back))

    wait_until(said, 30, "the log has it too")


def test_run_that_waited_has_been_running_once(stack: Stack, held_back: str) -> None:
    """Every other message would be one more run in Prefect's count."""
    assert stack.flow_run(held_back)["run_count"] == 1
    states = stack.ask(f"flow_run_states/?flow_run_id={held_back}")
    assert [state["type"] for state in states].count("RUNNING") == 1


def test_run_that_waited_is_one_event_for_automations_on_running(
    stack: Stack, held_back: str
) -> None:
    resource = {"id": [f"prefect.flow-run.{held_back}"]}

    def events(name: str) -> int:
        query = {"filter": {"event": {"name": [name]}, "resource": resource}}
        return len(stack.ask("events/filter", query)["events"])

    wait_until(lambda: events("prefect.flow-run.Completed"), 30, "its end is recorded")
    assert events("prefect.flow-run.Running") == 1
