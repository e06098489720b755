"""A quota that others use up: the pods that a run makes itself wait for it, as in a queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import CapacityError
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import Limits
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters import quotas
from ebbtide.infra.platforms.kubernetes.clusters.quotas import in_turn
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec

RUN, CLUSTER = RunName("heron"), ClusterId("heron-1")
OVER = (
    'pods "heron-1-head" is forbidden: exceeded quota: team, requested: pods={asked}, used: pods=3,'
    " limited: pods=3"
)


class Quotas(Api):
    """A namespace whose quota changes each time that it is looked at."""

    def __init__(self) -> None:
        self.looked = 0

    def get(self, *_: Any, **__: Any) -> Any:
        self.looked += 1
        status = {"used": {"pods": str(self.looked)}}
        return {"metadata": {"resourceVersion": "1"}, "spec": {}, "status": status}

    def watch(self, *_: Any, **__: Any) -> Iterator[tuple[str, Any]]:
        yield "MODIFIED", self.get()


class Head:
    """Is refused so many times, in these words."""

    def __init__(self, times: int, words: str = OVER.format(asked=1)):
        self.left, self._words = times, words

    def make(self) -> str:
        self.left -= 1
        if self.left >= 0:
            raise ApiError(403, "Forbidden", self._words)
        return "made"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger(tmp_path)
    begin(found, 60)
    yield found
    found.close()


def begin(store: Ledger, start_within_s: float, name: str = "heron") -> None:
    spec = run_spec(name, cluster_spec("none"), limits=Limits(start_within_s=start_within_s))
    runs.begin(store, spec)
    store.add_cluster(ClusterId(f"{name}-1"), spec.name, attempt=1, pool="test", lease_s=30)


def test_head_is_made_as_soon_as_the_quota_has_room_and_that_is_told_once(store: Ledger) -> None:
    api = Quotas()
    assert in_turn(api, store, CLUSTER, Head(3).make) == "made"
    told = [each for each in store.events(RUN) if each.kind is EventKind.STEP_WAITING]
    assert [(each.reason, each.message) for each in told] == [
        (Reason.QUOTA, "quota team is used up: 3 of 3 pods in use, pods=1 asked")
    ]
    assert api.looked >= 3


@pytest.mark.parametrize("words", [OVER.format(asked=4), "pods is forbidden: no right"])
def test_what_never_comes_is_not_waited_for(store: Ledger, words: str) -> None:
    with pytest.raises(ApiError):
        in_turn(Quotas(), store, CLUSTER, Head(1, words).make)


def test_run_that_is_stopped_waits_no_more(store: Ledger) -> None:
    store.request_stop(RUN, Reason.CANCELLED)
    with pytest.raises(ApiError):
        in_turn(Quotas(), store, CLUSTER, Head(1).make)


def test_queue_lasts_as_long_as_the_run_may_take_to_start(
    store: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "_LOOK_AGAIN_S", 0.05)
    begin(store, 0.3, "late")
    with pytest.raises(CapacityError) as caught:
        in_turn(Quotas(), store, ClusterId("late-1"), Head(10**9).make)
    assert caught.value.reason is Reason.NOT_IN_TIME
    assert "by --start-within; quota team is used up: 3 of 3 pods" in caught.value.detail


def test_run_with_another_tier_does_not_wait_for_a_quota(store: Ledger) -> None:
    run = store.run(RUN)
    assert run is not None
    store.set_attempt(RUN, 1, replace(run.spec, next_tiers=(cluster_spec("none"),)))
    with pytest.raises(CapacityError) as caught:
        in_turn(Quotas(), store, CLUSTER, Head(1).make)
    assert caught.value.reason is Reason.QUOTA
    assert caught.value.detail == "quota team is used up: 3 of 3 pods in use, pods=1 asked"
