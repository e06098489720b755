"""Advice exactly at, and just below, the figure from which it is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.policy.explain.advice import advise
from tests.unit.policy.test_advice import FINE

FULL: dict[str, Any] = {"at_max": 0.8, "cpu": 0.9}
FLOOR: dict[str, Any] = {"min_workers": 4, "at_min": 0.9, "cpu_at_min": 0.05}
WASTE: dict[str, Any] = {"cpu": 0.1, "peak_memory": 0.3}


def advice(*figures: dict[str, Any], **more: Any) -> str:
    merged: dict[str, Any] = {}
    for part in (*figures, more):
        merged |= part
    return advise(replace(FINE, **merged))


@pytest.mark.parametrize(("seconds", "given"), [(59.9, False), (60, True)])
def test_a_minute_is_long_enough_for_advice(seconds: float, given: bool) -> None:
    assert bool(advice(seconds=seconds, peak_memory=0.99)) is given


@pytest.mark.parametrize(("peak", "given"), [(0.89, False), (0.9, True)])
def test_memory_is_near_its_limit_from_nine_tenths(peak: float, given: bool) -> None:
    assert advice(peak_memory=peak).startswith("memory peaked") is given


@pytest.mark.parametrize(
    ("figures", "given"),
    [
        ({"at_max": 0.6, "cpu": 0.6}, True),
        ({"at_max": 0.59, "cpu": 0.6}, False),
        ({"at_max": 0.6, "cpu": 0.59}, False),
    ],
    ids=["at both", "not long enough", "not busy enough"],
)
def test_more_workers_are_advised_from_three_fifths(figures: dict[str, Any], given: bool) -> None:
    assert advice(figures).startswith("all 4 workers") is given


@pytest.mark.parametrize(
    ("figures", "given"),
    [
        ({"at_min": 0.6, "cpu_at_min": 0.19}, True),
        ({"at_min": 0.59, "cpu_at_min": 0.19}, False),
        ({"at_min": 0.6, "cpu_at_min": 0.2}, False),
        ({"min_workers": 2}, True),
        ({"min_workers": 1}, False),
        ({"scales": False}, False),
    ],
    ids=["at the edge", "not long enough", "busy", "two", "one", "a plain program"],
)
def test_lower_minimum_is_advised_when_it_idles_most_of_the_time(
    figures: dict[str, Any], given: bool
) -> None:
    assert advice(FLOOR, figures).startswith("the minimum of") is given


@pytest.mark.parametrize(
    ("figures", "given"),
    [
        ({"cpu": 0.19, "peak_memory": 0.49}, True),
        ({"cpu": 0.2, "peak_memory": 0.49}, False),
        ({"cpu": 0.19, "peak_memory": 0.5}, False),
        ({"scales": False}, True),
    ],
    ids=["at the edge", "busy", "half of the memory is needed", "a plain program"],
)
def test_smaller_tier_is_advised_when_half_of_it_would_do(
    figures: dict[str, Any], given: bool
) -> None:
    assert advice(WASTE, figures).endswith("a smaller --tier would do") is given


def test_twice_the_workers_are_proposed() -> None:
    assert advice(FULL, min_workers=2, max_workers=5).endswith("--workers 2..10 may end sooner")


@pytest.mark.parametrize(("least", "proposed"), [(2, "1..8"), (3, "1..8"), (6, "3..8")])
def test_half_of_the_minimum_is_proposed(least: int, proposed: str) -> None:
    said = advice(FLOOR, min_workers=least, max_workers=8)
    assert said.endswith(f"--workers {proposed} costs less")


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ([FULL, {"peak_memory": 0.95}], "memory peaked"),
        ([FULL, FLOOR], "all 4 workers"),
        ([WASTE, FLOOR], "the minimum of"),
    ],
    ids=["what fails before what is slow", "slow before wasteful", "minimum before tier"],
)
def test_what_matters_most_is_said_alone(figures: list[dict[str, Any]], said: str) -> None:
    assert advice(*figures).startswith(said)
