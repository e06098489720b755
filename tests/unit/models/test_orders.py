"""What a cluster has been told adds up, and survives being written down."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.codec import from_json, to_json
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.orders import (
    Autoscale,
    Keep,
    Order,
    Orders,
    Release,
    Repeat,
    StartJob,
    StartProgram,
    StopProgram,
)
from ebbtide.infra.models.phases import Reason, Step

JOB = JobSpec(argv=("true",), workdir="/")
EACH: list[tuple[Order, Orders]] = [
    (Autoscale(), Orders(autoscale=True)),
    (StartJob(), Orders(job=True)),
    (StartJob(then_release=True), Orders(job=True, release_after_job=True)),
    (StartProgram(name="a", job=JOB), Orders(programs={"a": JOB})),
    (StopProgram(name="a"), Orders(stopped=("a",))),
    (
        Repeat(step=Step.START_HEAD, at=1.0),
        Orders(repeat=Repeat(step=Step.START_HEAD, at=1.0)),
    ),
    (
        Release(reason=Reason.IDLE, at=1.0),
        Orders(release=Release(reason=Reason.IDLE, at=1.0)),
    ),
    (Keep(), Orders(kept=True)),
]


@pytest.mark.parametrize(("order", "orders"), EACH)
def test_an_order_is_one_more_and_the_same_one_twice_is_one(order: Order, orders: Orders) -> None:
    assert Orders().plus(order) == orders
    assert orders.plus(order) == orders


@pytest.mark.parametrize(("order", "orders"), EACH)
def test_what_was_told_before_stays(order: Order, orders: Orders) -> None:
    before = Orders(programs={"b": JOB}, stopped=("b",), kept=True)
    after = before.plus(order)
    assert after.kept
    assert after.programs["b"] == JOB
    assert after.stopped[0] == "b"


def test_a_job_that_ends_its_cluster_does_so_though_it_is_asked_for_again() -> None:
    assert Orders().plus(StartJob(then_release=True)).plus(StartJob()).release_after_job


def test_of_several_releases_the_last_counts() -> None:
    first, last = Release(reason=Reason.IDLE, at=1.0), Release(at_once=True, at=2.0)
    assert Orders().plus(first).plus(last).release == last


def test_it_is_read_as_it_was_written() -> None:
    orders = Orders()
    for order, _ in EACH:
        orders = orders.plus(order)
    assert from_json(Orders, to_json(orders)) == orders
