"""``ebb open RUN --prefect``: which page of which server it is."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.flows.cli.runs.pages.prefect_ui import open_prefect
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Run

ID = "01234567-89ab-4cde-8f01-23456789abcd"
HERON = Run(name=RunName("heron"), spec_json="", phase=Phase.SUCCEEDED, created=0.0, flow_run_id=ID)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EBB_HOME", str(tmp_path))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)


def refused(run: Run) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        open_prefect(run, look_only=True, as_json=False)
    (problem,) = caught.value.problems
    assert problem.reason is Reason.NO_DASHBOARD
    return caught.value


def test_flow_run_is_found_on_the_server_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "PREFECT_API_URL", "http://prefect.example/api")
    assert open_prefect(HERON, look_only=True, as_json=False) == 0
    assert f"http://prefect.example/runs/flow-run/{ID}" in capsys.readouterr().out


def test_run_that_is_not_in_prefect_is_told() -> None:
    assert "heron has no flow run in Prefect" in str(refused(replace(HERON, flow_run_id=None)))


@pytest.mark.parametrize("named", ["", "http://prefect.example/api"])
def test_server_that_has_ended_is_told_with_what_starts_it(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Also where another server is named now: the run is not there."""
    if named:
        monkeypatch.setenv("PREFECT_API_URL", named)
    (problem,) = refused(replace(HERON, prefect_url="http://127.0.0.1:4200")).problems
    assert (
        problem.hint == "ebb up starts it with all that it has kept; then ebb open heron --prefect"
    )
