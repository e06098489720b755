"""Demand in worked cases: what waits becomes a number of workers, what never runs is named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.infra.models.demand import Demand, DemandFigures, Unit
from ebbtide.infra.policy.demand import Room, fitting, wanted

GIB = 2**30
ROOM = Room(
    offer={"CPU": 1, "memory": 2 * GIB},
    tier="small",
    max_workers=5,
    bound="--workers allows 5",
    target_backlog_s=30,
)
WIDE = replace(ROOM, offer={"CPU": 4, "memory": 8 * GIB}, tier="wide")


def group(count: int, cpu: float = 1, *, apart: bool = False) -> Demand:
    units = (Unit(needs={"CPU": cpu}, count=count),)
    return Demand(kind="placement group", units=units, together=True, apart=apart)


def actors(count: int, **needs: float) -> Demand:
    return Demand(kind="actor", units=(Unit(needs=needs or {"CPU": 1}, count=count),))


def waiting_workers(count: int) -> Demand:
    return Demand(kind="wait_for_workers", units=(Unit(needs={}, count=count),), apart=True)


@pytest.mark.parametrize(
    ("figures", "room", "workers", "reason"),
    [
        (DemandFigures(), ROOM, 0, ""),
        (DemandFigures(waiting=(group(3),)), ROOM, 3, "placement group of 3 bundles of 1 CPU"),
        (DemandFigures(waiting=(group(3),)), WIDE, 1, "placement group of 3 bundles of 1 CPU"),
        (DemandFigures(waiting=(group(3, apart=True),)), WIDE, 3, "3 bundles of 1 CPU"),
        (DemandFigures(waiting=(group(2),), used={"CPU": 1}), ROOM, 3, "2 bundles"),
        (DemandFigures(waiting=(group(2),), used={"CPU": 6}), WIDE, 2, "2 bundles"),
        (DemandFigures(waiting=(group(3),), used={"CPU": 6}), WIDE, 3, "3 bundles"),
        (DemandFigures(waiting=(actors(2),), used={"CPU": 1}), ROOM, 3, "2 actors of 1 CPU"),
        (DemandFigures(waiting=(actors(1), group(2))), ROOM, 3, "1 actor of 1 CPU and 1 more"),
        (DemandFigures(waiting=(actors(9),)), ROOM, 5, "9 actors of 1 CPU"),
        (
            DemandFigures(floor=(waiting_workers(3),)),
            WIDE,
            3,
            "wait_for_workers asks for 3 workers",
        ),
        (DemandFigures(floor=(waiting_workers(3),), used={"CPU": 4}), ROOM, 3, "3 workers"),
    ],
)
def test_what_waits_becomes_workers(
    figures: DemandFigures, room: Room, workers: int, reason: str
) -> None:
    found = wanted(figures, room)
    assert (found.workers, found.cannot_run) == (workers, ())
    assert reason in found.reason


@pytest.mark.parametrize(
    ("tasks", "seconds", "room", "workers"),
    [
        (200, 2.0, ROOM, 1),  # ten milliseconds each: soon done
        (200, 30.0, ROOM, 1),
        (200, 31.0, ROOM, 2),
        (200, 200.0, ROOM, 5),
        (3, 600.0, ROOM, 3),  # a task runs on one slot, however long it takes
        (200, 300.0, WIDE, 3),
    ],
)
def test_tasks_in_line_for_longer_than_the_target_are_demand(
    tasks: int, seconds: float, room: Room, workers: int
) -> None:
    found = wanted(DemandFigures(backlog_tasks=tasks, backlog_s=seconds), room)
    assert found.workers == workers
    assert f"{tasks} tasks" in found.reason


def test_what_waits_is_beside_a_long_line() -> None:
    line = DemandFigures(backlog_tasks=90, backlog_s=60, used={"CPU": 1}, waiting=(group(2),))
    assert wanted(line, ROOM).workers == 2 + 2


def test_room_that_lies_in_pieces_is_no_room() -> None:
    figures = DemandFigures(waiting=(group(1, cpu=2),), used={"CPU": 2})
    room = replace(ROOM, offer={"CPU": 2})
    assert wanted(figures, room).workers == 2
    assert wanted(figures, room, unplaced_on=2).workers == 3


@pytest.mark.parametrize(
    ("demand", "said"),
    [
        (
            actors(1, CPU=1, GPU=1),
            "actor needs 1 CPU, GPU 1; a worker of tier small offers 1 CPU, 2 GiB",
        ),
        (actors(1, CPU=2), "actor needs 2 CPU; a worker of tier small offers 1 CPU, 2 GiB"),
        (group(6), "placement group needs 6 bundles of 1 CPU at once; --workers allows 5"),
        (waiting_workers(6), "wait_for_workers needs 6 workers at once; --workers allows 5"),
    ],
)
def test_what_can_never_run_is_named_and_brings_no_workers(demand: Demand, said: str) -> None:
    for figures in (DemandFigures(waiting=(demand,)), DemandFigures(floor=(demand,))):
        found = wanted(figures, ROOM)
        assert [str(problem) for problem in found.cannot_run] == [said]
        assert (found.workers, found.reason) == (0, "")


def test_smallest_tier_that_would_fit_is_named() -> None:
    offers = {"small": ROOM.offer, "wide": WIDE.offer, "wider": {"CPU": 16.0}}
    large, gpu = (
        wanted(DemandFigures(waiting=(actors(1, **needs),)), ROOM).cannot_run[0]
        for needs in ({"CPU": 2.0}, {"GPU": 1.0})
    )
    assert (fitting(large, offers), fitting(gpu, offers)) == ("wide", "")


demands = st.builds(
    Demand,
    kind=st.sampled_from(["task", "actor", "placement group"]),
    units=st.lists(
        st.builds(
            Unit,
            needs=st.fixed_dictionaries({"CPU": st.integers(0, 5).map(float)}),
            count=st.integers(1, 7),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    together=st.booleans(),
    apart=st.booleans(),
)
figures = st.builds(
    DemandFigures,
    waiting=st.lists(demands, max_size=3).map(tuple),
    floor=st.lists(demands, max_size=2).map(tuple),
    backlog_tasks=st.integers(0, 1000),
    backlog_s=st.floats(0, 1e5),
    used=st.fixed_dictionaries({"CPU": st.integers(0, 20).map(float)}),
)


@given(figures=figures, unplaced=st.integers(0, 5))
def test_demand_stays_within_what_the_run_may_have(figures: DemandFigures, unplaced: int) -> None:
    found = wanted(figures, WIDE, unplaced_on=unplaced)
    assert 0 <= found.workers <= WIDE.max_workers
    assert bool(found.reason) == bool(found.workers)


@given(figures=figures, more=demands)
def test_more_demand_never_asks_for_fewer_workers_unless_it_cannot_run(
    figures: DemandFigures, more: Demand
) -> None:
    grown = replace(figures, floor=(*figures.floor, more))
    assert wanted(grown, WIDE).workers >= wanted(figures, WIDE).workers


@given(figures=figures)
def test_all_slots_of_what_waits_are_there_or_the_maximum_is(figures: DemandFigures) -> None:
    room = replace(WIDE, max_workers=1000)
    found = wanted(figures, room)
    slots = sum(
        unit.needs["CPU"] * unit.count
        for demand in figures.waiting
        if all(unit.needs["CPU"] <= room.offer["CPU"] for unit in demand.units)
        for unit in demand.units
    )
    assert found.workers * room.offer["CPU"] >= slots
