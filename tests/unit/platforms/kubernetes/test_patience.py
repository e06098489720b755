"""For how long a process asks an API server that does not answer."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes import api, api_error, looking
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, Silence
from ebbtide.infra.platforms.kubernetes.client import Request

VERSION = Request(path="/version")


class Away(Api):
    """Nobody is there."""

    def __init__(self, patience_s: float):
        self.patience_s, self.silence, self.times = patience_s, Silence(), 0

    def send(self, request: Request, **_: Any) -> Any:
        self.times += 1
        self.silence.asked()
        raise ApiError(0, "NewConnectionError", "refused", asked=str(request))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    at_s = [100.0]

    def pause(seconds: float) -> None:
        at_s[0] += seconds

    for module in (api, api_error):
        monkeypatch.setattr(module, "now_s", lambda: at_s[0])
    monkeypatch.setattr(api, "pause", pause)
    return at_s


def test_an_outage_is_waited_for_once_not_by_each_question(clock: list[float]) -> None:
    away = Away(120)
    for most_s in (120, 2):
        began_s = clock[0]
        with pytest.raises(ApiError):
            away.ask(VERSION)
        assert clock[0] - began_s <= most_s
    assert clock[0] > 215


def test_a_question_has_the_patience_that_it_says(clock: list[float]) -> None:
    away = Away(0)
    with pytest.raises(ApiError):
        away.ask(VERSION, patience_s=30)
    assert clock[0] > 125


@pytest.mark.parametrize("silent_s", [119.0, 121.0])
def test_what_was_heard_last_is_believed_as_long_as_there_is_patience(
    clock: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Any, silent_s: float
) -> None:
    store: Any = None
    away = Away(120)
    with pytest.raises(ApiError):
        away.ask(VERSION, patience_s=0)
    clock[0] += silent_s
    looks = looking.Looking(away, store, tmp_path)
    monkeypatch.setattr(looks, "_view", lambda *_: None)
    monkeypatch.setattr(looks, "_snapshot", lambda _: None)
    if silent_s < 120:
        assert looks.now(ClusterId("a-1")) is None
    else:
        with pytest.raises(ApiError):
            looks.now(ClusterId("a-1"))
