"""Which worker goes first: the idlest, and one that holds what cannot move last."""

from __future__ import annotations

from typing import cast

import pytest

from ebbtide.infra.frameworks.base import FrameworkStatus, WorkerStatus
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.tending.scaling import costs as costs_module
from ebbtide.infra.platforms.kubernetes.tending.scaling.costs import (
    COST,
    IDLE,
    DeletionCosts,
    cost_of,
)
from tests.unit.platforms.tending.fakes import Clock, FakeApi, pod

IDLES, RUNS = WorkerStatus(), WorkerStatus(running=1)
STORES, STORES_MORE = WorkerStatus(stored_bytes=10), WorkerStatus(stored_bytes=10**9)
STAYS = WorkerStatus(stays_because="it has an actor")
STAYS_FOR_NOW = WorkerStatus(stays_because="it runs tasks", stays_for_now=True, running=1)


def test_order_is_that_of_the_local_platform() -> None:
    order = [IDLES, STORES, STORES_MORE, WorkerStatus(running=1, stored_bytes=0)]
    order += [STAYS_FOR_NOW, STAYS]
    found = [cost_of(worker) for worker in order]
    assert found == sorted(set(found))
    assert found[0] == IDLE


class Stage:
    """The costs of two workers."""

    def __init__(self, clock: Clock):
        self.api, self.clock = FakeApi(), clock
        self.costs = DeletionCosts(cast(Api, self.api))
        self.pods = [pod("a"), pod("b")]

    def look(self, **workers: WorkerStatus) -> list[tuple[str, int]]:
        """What is written at the next look."""
        self.api.merged.clear()
        self.clock.now_s += 1
        self.costs.tick(self.pods, FrameworkStatus(workers=workers))
        return [
            (name, int(change["metadata"]["annotations"][COST]))
            for _, name, change in self.api.merged
        ]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    clock = Clock()
    monkeypatch.setattr(costs_module, "now_s", clock)
    return Stage(clock)


def test_only_what_is_new_is_written(stage: Stage) -> None:
    assert stage.look(a=RUNS, b=IDLES) == [("a", cost_of(RUNS))]
    assert stage.look(a=RUNS, b=IDLES) == []


def test_worker_between_two_short_tasks_is_not_idle(stage: Stage) -> None:
    stage.look(a=RUNS)
    assert [stage.look(a=IDLES if second % 2 else RUNS) for second in range(20)] == [[]] * 20


def test_worker_that_has_become_idle_is_so_after_a_while(stage: Stage) -> None:
    stage.look(a=RUNS)
    written = [each for _ in range(8) for each in stage.look(a=IDLES)]
    assert written == [("a", IDLE)]


def test_growing_store_is_seldom_written(stage: Stage) -> None:
    grown = [stage.look(a=WorkerStatus(stored_bytes=1000 * n)) for n in range(1, 200)]
    assert sum(map(len, grown)) <= 4


def test_what_another_process_wrote_is_known(stage: Stage) -> None:
    stage.pods[0] = pod("a", annotations={COST: str(cost_of(RUNS))})
    assert stage.look(a=RUNS) == []


def test_worker_that_leaves_costs_what_it_did(stage: Stage) -> None:
    stage.pods[0] = pod("a", deletionTimestamp="2026-11-27T03:00:00Z")
    assert stage.look(a=STAYS) == []


def test_worker_the_watch_has_not_shown_yet_is_left_for_later(stage: Stage) -> None:
    assert stage.look(new=RUNS) == []


def test_a_server_that_is_away_is_asked_again(stage: Stage) -> None:
    stage.api.away = True
    assert stage.look(a=RUNS) == []
    stage.api.away = False
    assert stage.look(a=RUNS) == [("a", cost_of(RUNS))]
