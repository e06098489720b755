"""Amounts where one unit, one spelling or one rule ends and the next begins."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.resources import (
    NOTHING,
    Resources,
    format_duration,
    format_memory,
    parse_cpu,
    parse_memory,
    parse_worker_range,
)

ROOM = Resources(4000, 8 * 2**30)


@pytest.mark.parametrize(
    ("asked", "times"),
    [
        (Resources(1000, 2**30), 4),
        (Resources(100, 3 * 2**30), 2),
        (ROOM, 1),
        (Resources(4001, 1), 0),
        (Resources(1, 8 * 2**30 + 1), 0),
    ],
    ids=["as CPU allows", "as memory allows", "exactly once", "CPU too large", "memory too large"],
)
def test_how_often_is_as_the_scarcer_of_both_allows(asked: Resources, times: int) -> None:
    assert asked.how_often_in(ROOM) == times


def test_nothing_fits_in_a_room_that_is_overdrawn() -> None:
    assert Resources(1000, 2**30).how_often_in(NOTHING - ROOM) == 0


@pytest.mark.parametrize(
    ("amount", "kept"),
    [
        (Resources(5, -7), Resources(5, 0)),
        (Resources(-5, 7), Resources(0, 7)),
        (NOTHING, NOTHING),
        (ROOM, ROOM),
    ],
)
def test_or_nothing_is_zero_for_what_is_below_zero(amount: Resources, kept: Resources) -> None:
    assert amount.or_nothing == kept


def test_nothing_added_or_taken_away_changes_nothing() -> None:
    assert ROOM + NOTHING == ROOM - NOTHING == ROOM


def test_least_amounts_are_one_millicore_and_one_byte() -> None:
    assert (parse_cpu("1m"), parse_cpu("0.001"), parse_memory("1")) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("1k", 1000), ("1M", 1000**2), ("1G", 1000**3), ("1T", 1000**4),
        ("1Ki", 1024), ("1Mi", 1024**2), ("1Gi", 1024**3), ("1Ti", 1024**4),
    ],
)  # fmt: skip
def test_every_unit_is_a_power(text: str, bytes_: int) -> None:
    assert parse_memory(text) == bytes_


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("8gb", r"write 8Gi \(powers of 1024\) or 8G \(powers of 1000\)"),
        ("64KB", r"write 64Ki \(powers of 1024\) or 64k \(powers of 1000\)"),
    ],
)
def test_slip_is_offered_both_powers_in_a_spelling_that_is_accepted(slip: str, meant: str) -> None:
    with pytest.raises(ValueError, match=meant):
        parse_memory(slip)


@pytest.mark.parametrize("text", ["0", "0..1", "0..0"])
def test_no_worker_at_all_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the minimum is 1"):
        parse_worker_range(text)


@pytest.mark.parametrize(
    ("bytes_", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (2**20 - 2**10, "1023 KiB"),
        (2**20, "1 MiB"),
        (999 * 2**20, "999 MiB"),
        (999.5 * 2**20, "1000 MiB"),
        (1000 * 2**20, "1000 MiB"),
        (2**30, "1 GiB"),
        (2**40, "1 TiB"),
        (1.25 * 2**30, "1.25 GiB"),
        (2000 * 2**40, "2000 TiB"),
    ],
)
def test_memory_is_shown_in_the_largest_unit_that_leaves_one(bytes_: float, text: str) -> None:
    assert format_memory(bytes_) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (9.9, "9.9s"),
        (10, "10s"),
        (59.4, "59s"),
        (59.5, "1m"),
        (60, "1m"),
        (61, "1m01s"),
        (119, "1m59s"),
        (3540, "59m"),
        (3541, "59m01s"),
        (3599, "59m59s"),
        (3600, "1h00m"),
        (3660, "1h01m"),
        (7199, "1h59m"),
        (7200, "2h00m"),
        (90_000, "25h00m"),
    ],
)
def test_time_is_shown_as_a_person_says_it(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
