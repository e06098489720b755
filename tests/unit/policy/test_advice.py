"""Advice: one line when the figures support it, and none when they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.policy.explain.advice import Figures, advise

FINE = Figures(
    seconds=600,
    tier="large",
    scales=True,
    min_workers=1,
    max_workers=4,
    cpu=0.5,
    peak_memory=0.6,
    at_max=0.3,
    at_min=0.3,
    cpu_at_min=0.4,
)


def test_a_run_of_the_right_size_gets_none() -> None:
    assert advise(FINE) == ""


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"peak_memory": 0.95}, "memory peaked at 95 % of tier large: a larger --tier"),
        ({"at_max": 0.8, "cpu": 0.9}, "all 4 workers were wanted 80 % of the time and used 90 %"),
        (
            {"min_workers": 4, "max_workers": 8, "at_min": 0.9, "cpu_at_min": 0.05},
            "the minimum of 4 workers used 5 % of its CPU 90 % of the time: --workers 2..8",
        ),
        ({"cpu": 0.1, "peak_memory": 0.3}, "10 % of the CPU of tier large was used"),
    ],
)
def test_figures_that_say_something(figures: dict[str, Any], words: str) -> None:
    assert advise(replace(FINE, **figures)).startswith(words)


@pytest.mark.parametrize(
    "figures",
    [
        {"seconds": 59, "peak_memory": 0.99},
        {"cpu": 0.1, "peak_memory": 0.6},
        {"at_max": 0.8, "cpu": 0.3},
        {"at_min": 1.0, "cpu_at_min": 0.05},
        {"scales": False, "at_max": 1.0, "cpu": 0.95},
    ],
    ids=["short", "needs the memory", "busy enough?", "the minimum is one", "a plain program"],
)
def test_figures_that_support_nothing(figures: dict[str, Any]) -> None:
    assert advise(replace(FINE, **figures)) == ""


def test_memory_matters_most() -> None:
    both = replace(FINE, peak_memory=0.95, at_max=0.9, cpu=0.9)
    assert advise(both).startswith("memory")
