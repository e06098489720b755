"""Whose turn it is: order, limits of a tier and of an owner, and nobody in another's way."""

from __future__ import annotations

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Entry
from ebbtide.infra.policy.queue import QueuePosition, places


def entry(run: str, tier: str = "small", owner: str = "ada", **most: int) -> Entry:
    return Entry(ClusterId(f"{run}-1"), RunName(run), tier, owner, **most)


def test_without_limits_it_is_first_come_first_served() -> None:
    found = places([entry("a"), entry("b"), entry("c")], [entry("x")])
    assert found["c-1"] == QueuePosition((RunName("a"), RunName("b")))


def test_tier_at_its_limit_holds_back_and_says_so() -> None:
    found = places([entry("a", max_tier_runs=1)], [entry("x")])
    assert found["a-1"] == QueuePosition((), "tier small allows 1 run at once")


def test_limit_of_one_tier_is_in_nobody_elses_way() -> None:
    waiting = [entry("a", max_tier_runs=1), entry("b", tier="large")]
    assert places(waiting, [entry("x")])["b-1"] == QueuePosition(())


def test_owner_at_the_limit_stands_behind_own_runs_only() -> None:
    waiting = [
        entry("a", max_owner_runs=2),
        entry("b", owner="bob", max_owner_runs=2),
        entry("c", max_owner_runs=2),
    ]
    found = places(waiting, [entry("x"), entry("y")])
    assert found["c-1"] == QueuePosition((RunName("a"),), "ada may have 2 runs at once")
    assert found["b-1"] == QueuePosition(())


def test_slot_that_the_first_will_take_is_not_promised_twice() -> None:
    found = places([entry("a", max_tier_runs=1), entry("b", max_tier_runs=1)], [])
    assert found["a-1"].limit == ""
    assert found["b-1"].limit == "tier small allows 1 run at once"


def test_nobody_is_not_an_owner_with_a_limit() -> None:
    assert (
        places([entry("a", owner="", max_owner_runs=1)], [entry("x", owner="")])["a-1"].limit == ""
    )
