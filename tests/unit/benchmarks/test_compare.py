"""What the README says of a start, beside a fresh run."""

from __future__ import annotations

from benchmarks.compare import TOLERANCE, broken, promised

TEXT = "<!-- benchmark: start_up ratios -->Dask 1.3, Spark 1.83<!-- /benchmark --> Ray 9.9"


def test_ratios_are_read_where_people_read_them() -> None:
    assert promised(TEXT) == {"dask": 1.3, "spark": 1.83}


def test_start_may_be_better_than_told_and_a_little_worse() -> None:
    told = {"dask": 1.0}
    assert broken(told, {"dask": 0.5}) == []
    assert broken(told, {"dask": 1 + TOLERANCE}) == []


def test_start_that_takes_much_longer_than_told_is_named() -> None:
    assert broken({"dask": 1.0, "ray": 1.0}, {"dask": 1.5, "ray": 1.0}) == [
        "Dask: 1.50 times as long, and the README says 1.00"
    ]
