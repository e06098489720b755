"""Outages of the API server, as a process meets them."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from ebbtide.infra.platforms.kubernetes import api_error
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import (
    OUTAGE_S,
    UNAWARE_S,
    ApiError,
    Outage,
    Silence,
)
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.platforms.kubernetes.kinds import POD


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at_s = [100.0]
    monkeypatch.setattr(api_error, "now_s", lambda: at_s[0])
    return at_s


def test_question_without_an_answer_is_an_outage_after_a_while(clock: list[float]) -> None:
    silence, seen = Silence(), []
    for at_s in (0.0, OUTAGE_S - 1, OUTAGE_S):
        clock[0] = at_s
        silence.asked()
        seen.append(silence.outage)
    assert seen == [None, None, Outage(0.0, OUTAGE_S, over=False)]


def test_slow_answers_are_no_outage(clock: list[float]) -> None:
    silence = Silence()
    for _ in range(10):
        silence.asked()
        clock[0] += 2
        silence.answered()
    assert silence.outage is None


def test_outage_that_is_over_is_remembered(clock: list[float]) -> None:
    silence = Silence()
    silence.asked()
    clock[0] += 60
    silence.answered()
    silence.answered()
    assert silence.outage == Outage(100.0, 60.0, over=True)


def test_credentials_that_are_not_taken_are_an_outage_of_another_kind(
    clock: list[float],
) -> None:
    silence = Silence()
    silence.asked()
    refusal = ApiError(401, "Unauthorized", "Unauthorized")
    refusal.expired = True
    silence.failed(refusal)
    clock[0] += OUTAGE_S
    silence.asked()
    silence.answered()
    assert silence.outage is not None
    assert silence.outage.refused


def test_kubernetes_parts_may_not_know_for_a_while_that_an_outage_is_over(
    clock: list[float],
) -> None:
    silence, seen = Silence(), []
    silence.asked()
    for at_s in (160.0, 170.0, 170.0 + UNAWARE_S):
        clock[0] = at_s
        seen.append(silence.unaware_s)
        if at_s == 160:
            silence.answered()
            seen.append(silence.unaware_s)
    assert seen == [0.0, UNAWARE_S, UNAWARE_S - 10, 0.0]


@pytest.mark.parametrize(("silent_s", "unaware_s"), [(0.5, 0.0), (4.0, UNAWARE_S)])
def test_restart_too_short_for_an_outage_is_not_told_but_others_may_not_know_its_end(
    clock: list[float], silent_s: float, unaware_s: float
) -> None:
    silence = Silence()
    silence.asked()
    clock[0] += silent_s
    silence.answered()
    assert (silence.outage, silence.unaware_s) == (None, unaware_s)


def test_watch_that_cannot_connect_is_a_question_without_an_answer(
    clock: list[float], tmp_path: Path
) -> None:
    named = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(json.dumps(named))
    with contextlib.closing(Api(Access(kubeconfig=str(tmp_path / "config")))) as api:
        with pytest.raises(ApiError):
            next(iter(api.watch(POD, "1")))
        clock[0] += OUTAGE_S
        assert api.silence.going_on is not None


def test_who_was_not_there_presumes_that_an_outage_has_just_ended(clock: list[float]) -> None:
    silence, seen = Silence(), []
    silence.presume()
    for at_s in (100.0, 110.0, 100.0 + UNAWARE_S):
        clock[0] = at_s
        seen.append(silence.unaware_s)
    assert seen == [UNAWARE_S, UNAWARE_S - 10, 0.0]
    assert silence.going_on is None


def test_outage_that_goes_on_is_not_forgotten_for_the_presumed_one(clock: list[float]) -> None:
    silence = Silence()
    silence.presume()
    silence.asked()
    clock[0] += 60
    assert silence.going_on is not None
    silence.answered()
    assert (silence.outage, silence.unaware_s) == (Outage(100.0, 60.0, over=True), UNAWARE_S)
