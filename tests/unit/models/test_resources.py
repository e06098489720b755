"""Amounts as users write them."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.resources import (
    Resources,
    format_cpu,
    format_duration,
    format_memory,
    parse_cpu,
    parse_duration_s,
    parse_memory,
    parse_worker_range,
)

GI = 2**30


@pytest.mark.parametrize(
    ("text", "millis"), [("2", 2000), ("0.5", 500), ("500m", 500), (" 1 ", 1000), ("1.25", 1250)]
)
def test_cpu(text: str, millis: int) -> None:
    assert parse_cpu(text) == millis


@pytest.mark.parametrize("text", ["", "0", "0m", "-1", "lots", "2 cores", "1.5m", "1e3", "0.0001"])
def test_bad_cpu_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of CPU; "):
        parse_cpu(text)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("8Gi", 8 * GI),
        ("512Mi", GI // 2),
        ("1.5Gi", 3 * GI // 2),
        ("8G", 8 * 10**9),
        ("500M", 500 * 10**6),
        ("64k", 64_000),
        ("1073741824", GI),
        (" 2Ti ", 2048 * GI),
    ],
)
def test_memory(text: str, bytes_: int) -> None:
    assert parse_memory(text) == bytes_


@pytest.mark.parametrize("text", ["", "-1", "lots", "0", "0Gi", "Gi", "8 apples", "1e9", "nan"])
def test_bad_memory_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an amount of memory; "):
        parse_memory(text)


@pytest.mark.parametrize(
    ("slip", "meant"),
    [("8GB", "8Gi"), ("8gb", "8Gi"), ("8 GiB", "8Gi"), ("500mb", "500Mi"), ("64KB", "64Ki")],
)
def test_a_common_slip_names_what_was_meant(slip: str, meant: str) -> None:
    with pytest.raises(ValueError, match=f"write {meant} "):
        parse_memory(slip)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("250ms", 0.25), ("2d", 172800)],
)
def test_duration(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "-5m", "5 m", "soon", "10min", "m5", "5m!"])
def test_bad_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration; "):
        parse_duration_s(text)


@pytest.mark.parametrize(("text", "range_"), [("1..4", (1, 4)), ("3", (3, 3)), (" 2..2 ", (2, 2))])
def test_worker_range(text: str, range_: tuple[int, int]) -> None:
    assert parse_worker_range(text) == range_


@pytest.mark.parametrize(
    "text", ["", "0", "0..4", "4..1", "1-4", "1...4", "-1", "many", "1..", "2.5"]
)
def test_bad_worker_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="; "):
        parse_worker_range(text)


def test_a_reversed_worker_range_is_turned_round() -> None:
    with pytest.raises(ValueError, match=r"write 1\.\.4"):
        parse_worker_range("4..1")


def test_resources_add_up() -> None:
    one = Resources(500, GI)
    assert one + one.times(2) == Resources(1500, 3 * GI)
    assert one.times(3) - one == one.times(2)


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        (Resources(1000, GI), True),
        (Resources(1001, GI), False),
        (Resources(1000, GI + 1), False),
    ],
    ids=["exactly", "too much cpu", "too much memory"],
)
def test_fits_in(asked: Resources, fits: bool) -> None:
    assert asked.fits_in(Resources(1000, GI)) is fits


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (str(Resources(1500, 3 * GI // 2)), "1.5 CPU, 1.5 GiB"),
        (format_cpu(50), "0.05"),
        (format_cpu(128_000), "128"),
        (format_memory(100), "100 B"),
        (format_memory(384 * 2**20), "384 MiB"),
        (format_memory(96 * GI), "96 GiB"),
        (format_duration(0.66), "0.7s"),
        (format_duration(45), "45s"),
        (format_duration(120), "2m"),
        (format_duration(192), "3m12s"),
        (format_duration(7500), "2h05m"),
    ],
)
def test_shown_to_a_person(shown: str, text: str) -> None:
    assert shown == text


def test_gpus_are_added_multiplied_and_fit_like_the_rest() -> None:
    one, room = Resources(1000, GI, 1), Resources(8000, 8 * GI, 3)
    assert (room - one.times(2)).gpus == 1
    assert (one + one).fits_in(room)
    assert not one.times(4).fits_in(room)
    assert one.how_often_in(room) == 3
    assert Resources(1000, GI).how_often_in(room) == 8
    assert (str(one), str(Resources(1000, GI))) == ("1 CPU, 1 GiB, 1 GPU", "1 CPU, 1 GiB")


def test_what_asks_for_no_gpu_fits_where_more_are_held_than_there_are() -> None:
    assert Resources(1000, GI).fits_in(Resources(1000, GI, -1))
    assert Resources(0, 0, -1).or_nothing == Resources(0, 0)
