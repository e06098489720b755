"""Limits of runs at once are counted one by one: at the limit, one below it, and several steps."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Entry
from ebbtide.infra.policy.queue import QueuePosition, places


def entry(run: str, **more: Any) -> Entry:
    kind = {"tier": "small", "owner": "ada", **more}
    return Entry(ClusterId(f"{run}-1"), RunName(run), **kind)


LIMITS = pytest.mark.parametrize("limit", ["max_tier_runs", "max_owner_runs"])


@LIMITS
def test_one_below_the_limit_may_start(limit: str) -> None:
    assert places([entry("a", **{limit: 2})], [entry("x")])["a-1"] == QueuePosition(())


@LIMITS
def test_exactly_at_the_limit_is_held_back(limit: str) -> None:
    found = places([entry("a", **{limit: 2})], [entry("x"), entry("y")])
    assert found["a-1"].limit.endswith("2 runs at once")


@LIMITS
def test_those_that_wait_take_slots_one_by_one(limit: str) -> None:
    waiting = [entry(run, **{limit: 3}) for run in "abcd"]
    found = places(waiting, [entry("x")])
    assert [bool(found[f"{run}-1"].limit) for run in "abcd"] == [False, False, True, True]


@LIMITS
def test_held_back_stand_in_order_behind_each_other(limit: str) -> None:
    waiting = [entry(run, **{limit: 1}) for run in "abc"]
    assert places(waiting, [entry("x")])["c-1"].ahead == ("a", "b")


@LIMITS
def test_one_that_is_held_back_takes_no_slot(limit: str) -> None:
    waiting = [entry("a", **{limit: 1}), entry("b", **{limit: 2})]
    assert places(waiting, [entry("x")])["b-1"] == QueuePosition(())


def test_limit_of_the_tier_is_named_before_that_of_the_owner() -> None:
    found = places([entry("a", max_tier_runs=1, max_owner_runs=1)], [entry("x")])
    assert found["a-1"].limit == "tier small allows 1 run at once"


def test_other_tiers_and_owners_do_not_count() -> None:
    waiting = [entry("a", max_tier_runs=1, max_owner_runs=1)]
    assert places(waiting, [entry("x", tier="large", owner="bob")])["a-1"] == QueuePosition(())


def test_empty_queue_has_no_places() -> None:
    assert places([], [entry("x")]) == {}


def test_run_that_waits_alone_has_nobody_ahead() -> None:
    assert places([entry("a", max_tier_runs=1, max_owner_runs=1)], [])["a-1"] == QueuePosition(())
