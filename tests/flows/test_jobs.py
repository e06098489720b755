"""Jobs of a user's flow, with a real Prefect server and the plainest programs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.models.phases import Step
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.settings import Settings
from tests.flows.flow_runs import FlowRun, call, flow_run
from tests.helpers import wait_until

PROGRAM = """
import json, os, pathlib, sys, threading
here, word = pathlib.Path(__file__).parent, sys.argv[1]
with open(here / "started", "a") as log:
    log.write(word + "\\n")
(pathlib.Path(os.environ["EBB_OUTPUT_DIR"]) / "facts.json").write_text(json.dumps({"word": word}))
if word == "waits":
    threading.Event().wait(60)
while word == "until-told" and not (here / "told").exists():
    threading.Event().wait(0.1)
if word == "fails" and not (here / "mended").exists():
    sys.exit(3)
"""
ONE = """
    @flow
    def main():
        job(Path("program.py").absolute(), "good", name="first", framework="none")
"""
TWO = """
    @flow
    def main():
        program = Path("program.py").absolute()
        job(program, "good", name="first", framework="none")
        job(program, "fails", name="second", framework="none")
"""
SIDE_BY_SIDE = """
    @flow
    def main():
        program = Path("program.py").absolute()
        with parallel() as group:
            for number in range(3):
                group.submit(job, program, "waits", name=f"job-{number}", framework="none")
"""
SUSPENDED = """
    import threading
    from prefect.context import FlowRunContext

    def tell_when(asked):
        while not asked.is_requested():
            threading.Event().wait(0.1)
        Path("told").touch()

    @flow
    def main():
        asked = FlowRunContext.get().flow_run_suspension_request
        threading.Thread(target=tell_when, args=(asked,), daemon=True).start()
        job(Path("program.py").absolute(), "until-told", name="first", framework="none")
"""
"""The program ends when the flow's process has heard that it shall be suspended."""
WRONG_OUTPUT = """
    @flow
    def main():
        made = job(Path("program.py").absolute(), "good", name="first", framework="none")
        made.output("facts.json", dict[str, int])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def one(prefect_api: ServerInfo, ebb_home: Path, folder: Path) -> FlowRun:
    return flow_run(prefect_api.api, ebb_home, folder, ONE)


def started(folder: Path) -> list[str]:
    log = folder / "started"
    return log.read_text().split() if log.exists() else []


def test_a_job_is_a_flow_run_named_like_its_run_with_the_seven_tasks(one: FlowRun) -> None:
    assert one.run() == "Completed", one.log()
    (row,) = one.ledger_runs()
    named = {"flow_runs": {"name": {"any_": [row["name"]]}}}
    (child,) = call(one.api, "flow_runs/filter", named)
    assert child["id"] == row["flow_run_id"]
    assert child["parent_task_run_id"]

    def tasks() -> set[str]:
        return {task["name"] for task in call(one.api, "task_runs/filter", named)}

    wait_until(lambda: tasks() == {step.value for step in Step}, 30, "seven tasks are recorded")


def test_a_retry_does_finished_jobs_not_again(
    prefect_api: ServerInfo, ebb_home: Path, folder: Path
) -> None:
    two = flow_run(prefect_api.api, ebb_home, folder, TWO)
    assert two.run() == "Failed"
    assert "JOB:EXIT_CODE" in two.read()["state"]["message"]
    (folder / "mended").touch()
    two.retry()
    assert two.run() == "Completed", two.log()
    assert started(folder) == ["good", "fails", "fails"]


def test_a_killed_flow_adopts_its_running_job_when_it_is_run_again(
    prefect_api: ServerInfo, ebb_home: Path, folder: Path
) -> None:
    flow = flow_run(prefect_api.api, ebb_home, folder, ONE.replace("good", "waits"))
    process = flow.start()
    wait_until(lambda: started(folder), 60, "the program runs")
    process.kill()
    process.wait()
    flow.retry()
    again = flow.start()
    wait_until(lambda: flow.ledger_runs()[0]["flow_pid"] == again.pid, 60, "the job is adopted")
    again.send_signal(signal.SIGTERM)
    wait_until(lambda: again.poll() is not None, 20, "it ends")
    assert started(folder) == ["waits"]
    assert len(flow.ledger_runs()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_flow_releases_all_clusters_of_its_parallel_jobs(
    number: signal.Signals, prefect_api: ServerInfo, ebb_home: Path, folder: Path
) -> None:
    flow = flow_run(prefect_api.api, ebb_home, folder, SIDE_BY_SIDE)
    process = flow.start()
    wait_until(lambda: len(started(folder)) == 3, 60, "three programs run")
    process.send_signal(number)
    wait_until(lambda: process.poll() is not None, 20, "the flow process ends in seconds")
    assert LocalPlatform(Settings(home=ebb_home)).held() == []
    assert {row["reason"] for row in flow.ledger_runs()} == {"JOB:CANCELLED"}


def test_a_wrong_output_is_said_in_words_and_made_again_by_a_retry(
    prefect_api: ServerInfo, ebb_home: Path, folder: Path
) -> None:
    flow = flow_run(prefect_api.api, ebb_home, folder, WRONG_OUTPUT)
    assert flow.run() == "Failed"
    message = flow.read()["state"]["message"]
    assert "JOB:OUTPUT_INVALID" in message
    assert "word: Input should be a valid integer" in message
    flow.retry()
    flow.run()
    assert started(folder) == ["good", "good"]


def test_the_same_name_with_other_arguments_is_another_job(
    prefect_api: ServerInfo, ebb_home: Path, folder: Path
) -> None:
    text = TWO.replace('"fails", name="second"', '"other", name="first"')
    assert flow_run(prefect_api.api, ebb_home, folder, text).run() == "Completed"
    assert started(folder) == ["good", "other"]


def test_a_suspension_during_a_job_waits_for_its_end_and_releases(
    prefect_api: ServerInfo, ebb_home: Path, folder: Path
) -> None:
    flow = flow_run(prefect_api.api, ebb_home, folder, SUSPENDED)
    process = flow.start()
    wait_until(lambda: started(folder), 60, "the program runs")
    flow.suspend()
    wait_until(lambda: process.poll() is not None, 60, "the flow process ends")
    assert flow.read()["state"]["name"] == "Suspended"
    assert LocalPlatform(Settings(home=ebb_home)).held() == []
    (row,) = flow.ledger_runs()
    child = call(flow.api, f"flow_runs/{row['flow_run_id']}", method="GET")
    assert (row["phase"], child["state"]["name"]) == ("Succeeded", "Completed")
