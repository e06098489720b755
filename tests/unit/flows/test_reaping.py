"""When ``ebb run`` releases what nobody owns any more, and what it says of it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from ebbtide.flows.cli import reaping
from ebbtide.flows.cli.reaping import Reaping
from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.lifecycle.reaper import Reaped
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.settings import Settings, load_settings
from tests.clusters import cluster_spec, run_spec

HERE = run_spec("calm-otter", cluster_spec())
ELSEWHERE = replace(HERE, platform="kubernetes")


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which rounds of the reaper were made; each finds one cluster."""
    found: list[threading.Thread] = []

    def reap(settings: Settings) -> Reaped:
        del settings
        found.append(threading.current_thread())
        return Reaped(("lost-1",), ())

    monkeypatch.setattr(reaper, "reap", reap)
    return found


def test_run_here_begins_when_what_is_lost_has_given_back_its_room(
    rounds: list[threading.Thread], capsys: pytest.CaptureFixture[str]
) -> None:
    with Reaping(load_settings(), HERE):
        assert rounds == [threading.current_thread()]
    assert "released what had no living owner: lost-1" in capsys.readouterr().err


def test_run_elsewhere_has_its_start_first(
    rounds: list[threading.Thread],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reaping, "_START_TAKES_S", 60.0)
    with Reaping(load_settings(), ELSEWHERE):
        assert not rounds
    assert rounds
    assert "released what had no living owner: lost-1" in capsys.readouterr().err


def test_start_that_waits_does_not_keep_what_is_lost(
    rounds: list[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaping, "_START_TAKES_S", 0.0)
    with Reaping(load_settings(), ELSEWHERE) as beside:
        assert beside.ended(timeout_s=20.0)
    assert rounds


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (ProvisioningError(Reason.API_UNREACHABLE, detail="no route"), "no route"),
        (ValueError("a fault of ours"), "a fault of ours"),
    ],
)
def test_round_that_fails_beside_a_run_is_a_remark(
    failure: Exception,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reap(settings: Settings) -> Reaped:
        raise failure

    monkeypatch.setattr(reaper, "reap", reap)
    spec: RunSpec = ELSEWHERE
    with Reaping(load_settings(), spec):
        pass
    told = capsys.readouterr().err
    assert "! what has no owner cannot be released" in told
    assert said in told
    assert "Traceback" not in told
