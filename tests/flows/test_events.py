"""From an event to a run: real server, real automations, no worker (a Scheduled run is enough)."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.flows.events import outbox
from ebbtide.flows.events.prefect_events import effects_of, failed_actions, send
from ebbtide.flows.prefect_server.api import Api
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.settings import Settings
from tests.flows.conftest import Deployed
from tests.flows.flow_runs import call
from tests.helpers import wait_until

Emit = Callable[..., tuple[int, dict[str, Any]]]
NOBODY = "http://127.0.0.1:9/api"
UPDATED = "dataset.updated"


@pytest.fixture
def emit(deployed: Deployed, capsys: pytest.CaptureFixture[str]) -> Emit:
    """``ebb emit --json``: its exit code and its document."""

    def command(*words: str) -> tuple[int, dict[str, Any]]:
        code = main(["emit", *words, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return command


def parameters(api: Api, flow_run: str) -> dict[str, Any]:
    run = call(api, f"flow_runs/{flow_run}", method="GET")
    assert run["state"]["name"] in ("Scheduled", "Late")
    found: dict[str, Any] = run["parameters"]
    return found


def updated(resource: str) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "occurred": dt.datetime.now(dt.UTC).isoformat(),
        "event": UPDATED,
        "resource": {"prefect.resource.id": resource},
        "payload": {"version": 1, "uri": "/a"},
    }


def test_an_event_starts_a_run_with_its_facts_as_parameters(emit: Emit, deployed: Deployed) -> None:
    words = ("--resource", "dataset.a", "-p", "version=7", "-p", "uri=/a.csv", "--wait", "30")
    code, said = emit(UPDATED, *words)
    assert (code, said["sent"]) == (ExitCode.OK, True)
    (run,) = said["flow_runs"]
    expected = {"dataset": "dataset.a", "version": "7", "uri": "/a.csv"}
    assert parameters(deployed.api, run["id"]) == expected


def test_two_data_sets_at_once_start_a_run_each(deployed: Deployed) -> None:
    events = [updated("dataset.b"), updated("dataset.c")]
    send(deployed.api, events)
    runs = [
        wait_until(lambda e=event: effects_of(deployed.api, e["id"]).flow_runs, 30, "a run starts")  # type: ignore[misc]
        for event in events
    ]
    names = [parameters(deployed.api, run[0][0])["dataset"] for run in runs]
    assert names == ["dataset.b", "dataset.c"]


def test_an_event_that_is_sent_twice_starts_one_run(deployed: Deployed) -> None:
    twice, last = updated("dataset.d"), updated("dataset.d")
    for event in (twice, twice, last):
        send(deployed.api, [event])
    wait_until(lambda: effects_of(deployed.api, last["id"]), 30, "the event after it has its run")
    assert len(effects_of(deployed.api, twice["id"]).flow_runs) == 1


def test_an_automation_that_fails_is_seen(
    emit: Emit, deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dt.datetime.now(dt.UTC)
    action = {
        "type": "run-deployment",
        "deployment_id": deployed.id("retrain"),
        "parameters": {"dataset": "{{ event.id }}"},  # a UUID is nothing JSON knows
    }
    trigger = {"type": "event", "expect": ["test.broken"], "posture": "Reactive", "threshold": 1}
    automation = {"name": "broken template", "trigger": trigger, "actions": [action]}
    call(deployed.api, "automations/", automation)
    code, said = emit("test.broken", "--resource", "dataset.e", "--wait", "30")
    assert (code, said["flow_runs"]) == (ExitCode.INFRASTRUCTURE, [])
    assert said["failed"][0]["automation"] == "broken template"
    failed = failed_actions(deployed.api, before)
    assert [failure.event for failure in failed if failure.automation == "broken template"] == [
        said["id"]
    ]
    main(["doctor"])
    assert f"broken template: {failed[-1].why}" in capsys.readouterr().out


def test_an_event_that_nobody_waits_for_is_told_so(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["emit", "test.unexpected", "--resource", "x", "--wait", "2"])
    assert code == ExitCode.TEMPORARY
    assert "no run was started within 2 s" in capsys.readouterr().err


def test_an_event_that_no_server_took_is_kept_and_sent_once_later(
    emit: Emit, deployed: Deployed, ebb_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", NOBODY)
    words = (UPDATED, "--resource", "dataset.f", "-p", "version=1", "-p", "uri=/f")
    code, said = emit(*words)
    assert (code, said["sent"]) == (ExitCode.TEMPORARY, False)
    assert len(outbox.waiting(Settings(home=ebb_home))) == 1
    monkeypatch.setenv("PREFECT_API_URL", deployed.url)
    assert outbox.flush(deployed.api) == [said["id"]]
    assert outbox.flush(deployed.api) == []
    wait_until(lambda: effects_of(deployed.api, said["id"]).flow_runs, 30, "it starts its run")


def test_what_was_kept_goes_before_the_next_event(
    emit: Emit, deployed: Deployed, ebb_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", NOBODY)
    first = emit("test.first", "--resource", "x")[1]["id"]
    monkeypatch.setenv("PREFECT_API_URL", deployed.url)
    emit("test.second", "--resource", "x")
    assert outbox.waiting(Settings(home=ebb_home)) == []
    found = {"filter": {"id": {"id": [first]}}}
    wait_until(lambda: call(deployed.api, "events/filter", found)["events"], 30, "it has arrived")


def test_all_that_is_wrong_is_told_at_once(
    deployed: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["emit", "e", "--resource", "x", "--payload", "[1]", "-p", "version"])
    said = capsys.readouterr().err
    assert code == ExitCode.MISCONFIGURATION
    assert "--payload is not a JSON object" in said
    assert "-p version has no value" in said
