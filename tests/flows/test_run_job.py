"""The flow against a real Prefect server, with the plainest programs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.launch import launch
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Step
from ebbtide.infra.models.records import Run
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until

FLOW = """
import sys
from ebbtide.flows.run_job import run_job
from ebbtide.infra.errors import EbbError
try:
    print(run_job(sys.argv[1], cluster={"framework": "none"}))
except EbbError as error:
    print(error.reason)
"""


def ask(info: ServerInfo, path: str, body: dict[str, Any]) -> Any:
    return json.loads(info.api.call(path, body, timeout_s=30))


def run_to_the_end(home: Path, words: tuple[str, ...], **options: Any) -> Run:
    """As ``ebb run`` does: launch, and wait until the flow process has ended."""
    settings, ledger = Settings(home=home), Ledger(home)
    request = RunRequest(argv=words, options={"framework": "none", **options})
    spec = spec_for(request, os.environ, home)
    spec = runs.begin(ledger, spec)
    flow = launch(settings, ledger, spec, detach=True)
    wait_until(lambda: flow.ended, 120, "the flow process ends")
    run = ledger.run(spec.name)
    assert run is not None
    return run


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text("print('done')\n")
    return path


def test_flow_run_is_named_like_the_run_and_has_seven_tasks(
    prefect_api: ServerInfo, ebb_home: Path, program: Path
) -> None:
    run = run_to_the_end(ebb_home, (str(program),))
    named = {"flow_runs": {"name": {"any_": [run.name]}}}
    (flow_run,) = ask(prefect_api, "flow_runs/filter", named)
    assert flow_run["state_name"] == "Completed"

    def task_names() -> set[str]:
        tasks = ask(prefect_api, "task_runs/filter", named)
        return {task["name"] for task in tasks if task["state_name"] == "Completed"}

    wait_until(lambda: task_names() == {step.value for step in Step}, 30, "seven tasks recorded")


def test_failed_program_is_a_failed_flow_run_that_carries_the_reason(
    prefect_api: ServerInfo, ebb_home: Path, program: Path
) -> None:
    program.write_text("raise SystemExit(3)\n")
    run = run_to_the_end(ebb_home, (str(program),), retry="never")
    assert (run.phase, run.reason, run.exit_code) == ("Failed", "JOB:EXIT_CODE", 3)
    named = {"flow_runs": {"name": {"any_": [run.name]}}}
    (flow_run,) = ask(prefect_api, "flow_runs/filter", named)
    assert flow_run["state_type"] == "FAILED"
    assert "JOB:EXIT_CODE" in flow_run["state"]["message"]


@pytest.mark.usefixtures("prefect_api")
def test_flow_runs_without_a_front_door(ebb_home: Path, program: Path) -> None:
    """As a Prefect worker starts it: nothing has been written or declared before."""
    done = subprocess.run(
        [sys.executable, "-c", FLOW, str(program)],
        cwd=ebb_home,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    run = Ledger(ebb_home).run(RunName(done.stdout.strip()))
    assert run is not None
    assert (run.phase, run.exit_code) == ("Succeeded", 0)


@pytest.mark.usefixtures("prefect_api")
def test_flow_refuses_what_is_wrong_before_anything_is_made(ebb_home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FLOW, "missing.py"],
        cwd=ebb_home,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == "MISCONFIGURATION:PROGRAM_INVALID"
    assert Ledger(ebb_home).rows("SELECT * FROM runs") == []


def test_run_does_not_fail_when_prefect_cannot_be_used(
    ebb_home: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
    run = run_to_the_end(ebb_home, (str(program),))
    assert (run.phase, run.exit_code) == ("Succeeded", 0)
    messages = [event.message for event in Ledger(ebb_home).events(run.name)]
    assert any(message.startswith("not recorded in Prefect") for message in messages)


def test_no_server_is_started_where_it_is_off(
    ebb_home: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBB_PREFECT_SERVER", "off")
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    run = run_to_the_end(ebb_home, (str(program),))
    assert (run.phase, run.exit_code) == ("Succeeded", 0)
    assert not (ebb_home / "prefect").exists()


@pytest.mark.usefixtures("prefect_api")
@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_run_is_recorded_whatever_proxy_the_user_has(
    ebb_home: Path, program: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"{scheme}://127.0.0.1:9")  # where nothing answers
    run = run_to_the_end(ebb_home, (str(program),))
    assert run.flow_run_id is not None
