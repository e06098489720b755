"""What waits in a Ray cluster, and for how long its queue will stand."""

from __future__ import annotations

import pytest

from ebbtide.infra.frameworks.ray.demand.backlog import Backlog, RunningTask
from ebbtide.infra.frameworks.ray.demand.shapes import (
    Group,
    LabelNeed,
    Pending,
    WorkerNode,
    floor_of,
    in_group,
    slots_of,
    sort_pending,
    taken_by_tasks,
    used,
    waiting_groups,
)
from ebbtide.infra.models.demand import Demand, Unit

GROUP_ID = "fc8ea7cab974495586cf53e79b8701000000"
Observed = tuple[float, int, float, list[RunningTask]]
ONE_CPU = {"CPU": 1.0}
OFFER = {"CPU": 1.0, "memory": 2e9}
FREE = WorkerNode(total={**OFFER, "node:10.0.0.7": 1.0}, available={**OFFER, "node:10.0.0.7": 1.0})
BUSY = WorkerNode(total=OFFER, available={"memory": 2e9})
WITH_ACTOR = WorkerNode(total=OFFER, available={"memory": 2e9}, held_by_actors=ONE_CPU)
IN_GROUP = WorkerNode(
    total={**OFFER, f"CPU_group_0_{GROUP_ID}": 1.0, f"CPU_group_{GROUP_ID}": 1.0},
    available={"memory": 2e9, f"CPU_group_{GROUP_ID}": 1.0},
)


def waiting(kind: str, needs: dict[str, float], count: int = 1, label: str = "") -> Demand:
    return Demand(kind=kind, units=(Unit(needs=needs, count=count),), label=label)


def test_tasks_behind_others_stand_in_line() -> None:
    found = sort_pending([Pending(ONE_CPU, 200)], [], [BUSY], OFFER, {})
    assert (found.waiting, found.line_slots) == ((), 200)


@pytest.mark.parametrize(
    "resources",
    [{"CPU": 1.0, "GPU": 1.0}, {"CPU": 2.0}, {"CPU": 1.0, "memory": 3e9}, {"licence": 1.0}],
)
def test_task_that_no_empty_worker_takes_waits_with_its_needs(resources: dict[str, float]) -> None:
    names = {frozenset(resources.items()): "train"}
    found = sort_pending([Pending(resources, 2)], [], [FREE], OFFER, names)
    assert found.waiting == (waiting("task", resources, 2, "train"),)
    assert found.line_slots == 0


def test_label_that_no_worker_has_is_something_no_worker_offers() -> None:
    zone = LabelNeed("zone", ("x",))
    found = sort_pending([Pending(ONE_CPU, 1, (zone,))], [], [FREE], OFFER, {})
    assert found.waiting == (waiting("task", {"CPU": 1.0, "label zone=x": 1.0}),)
    labelled = WorkerNode(total=OFFER, available=OFFER, labels={"zone": "x"})
    assert not sort_pending([Pending(ONE_CPU, 1, (zone,))], [], [labelled], OFFER, {}).waiting
    negated = Pending(ONE_CPU, 1, (LabelNeed("zone", ("x",), negated=True),))
    assert sort_pending([negated], [], [labelled], OFFER, {}).waiting


def test_actors_are_told_from_tasks_of_the_same_shape() -> None:
    found = sort_pending([Pending(ONE_CPU, 3)], [("Adder", ONE_CPU)] * 2, [BUSY], OFFER, {})
    assert found.waiting == (waiting("actor", ONE_CPU, 2, "Adder"),)
    assert found.line_slots == 1


@pytest.mark.parametrize("held", [WITH_ACTOR, IN_GROUP])
def test_one_of_the_tasks_that_find_every_slot_held_for_good_waits(held: WorkerNode) -> None:
    found = sort_pending([Pending(ONE_CPU, 10)], [], [held], OFFER, {})
    assert found.waiting == (waiting("task", ONE_CPU),)
    assert not sort_pending([Pending(ONE_CPU, 10)], [], [held, BUSY], OFFER, {}).waiting


def test_task_of_a_placement_group_is_not_helped_by_other_workers() -> None:
    inside = {f"CPU_group_{GROUP_ID}": 1.0, f"bundle_group_{GROUP_ID}": 0.001}
    assert in_group(inside)
    assert not in_group(ONE_CPU)
    found = sort_pending([Pending(inside, 5)], [], [IN_GROUP], OFFER, {})
    assert (found.waiting, found.line_slots) == ((), 0)


def test_placement_group_is_its_bundles_at_once() -> None:
    def demand(strategy: str) -> Demand:
        details = f"{GROUP_ID}:{strategy}|PENDING"
        return waiting_groups([Group((ONE_CPU, ONE_CPU, {"CPU": 0.0}), details)])[0]

    assert demand("PACK").units == (Unit(needs=ONE_CPU, count=2),)
    assert demand("PACK").together
    assert not demand("PACK").apart
    assert demand("STRICT_SPREAD").apart
    assert demand("STRICT_PACK").units == (Unit(needs={"CPU": 2.0}),)


def test_requested_resources_are_a_floor() -> None:
    (floor,) = floor_of([(ONE_CPU, 3)])
    assert floor.units == (Unit(needs=ONE_CPU, count=3),)
    assert not floor.together
    assert floor_of([({"CPU": 0.0}, 1)]) == ()


def test_used_is_what_workers_have_given_away_by_its_own_name() -> None:
    assert used([FREE]) == {}
    assert used([BUSY, IN_GROUP, FREE]) == {"CPU": 2.0}


def test_slots_go_by_the_scarcest_resource() -> None:
    assert slots_of({"CPU": 0.25}, OFFER) == 0.25
    assert slots_of({"memory": 1e9}, {"CPU": 4.0, "memory": 2e9}) == 2.0


def test_what_actors_and_groups_hold_is_not_taken_by_tasks() -> None:
    assert taken_by_tasks(BUSY) == {"CPU": 1.0}
    assert taken_by_tasks(WITH_ACTOR) == taken_by_tasks(IN_GROUP) == taken_by_tasks(FREE) == {}


def backlog(*observed: Observed) -> Backlog:
    made = Backlog()
    for each in observed:
        made.observe(*each)
    return made


def test_mean_is_the_time_spent_by_the_tasks_that_ended_lately() -> None:
    assert backlog((0, 0, 1, []), (0.5, 0, 1, [])).mean_s() is None
    assert backlog((0, 0, 2, []), (9, 1, 2, []), (19, 5, 2, [])).mean_s() == 5.0
    assert backlog((0, 0, 1, []), (10, 1000, 1, []), (41, 1001, 1, [])).mean_s() == 31.0


def test_start_of_the_first_tasks_processes_is_no_duration_of_tasks() -> None:
    assert backlog((0, 0, 1, []), (6, 1, 1, [])).mean_s() is None
    assert backlog((0, 0, 1, []), (6, 1, 1, []), (7, 101, 1, [])).mean_s() == 0.01


def test_tasks_that_run_for_longer_than_those_before_count() -> None:
    quick: list[Observed] = [(0.0, 0, 1.0, []), (1.0, 1, 1.0, []), (2.0, 101, 1.0, [])]
    assert backlog(*quick).mean_s() == 0.01
    assert backlog(*quick, (7.0, 200, 1.0, [RunningTask(5.0, 1)])).mean_s() == 5.0


def test_task_whose_end_may_not_have_been_told_says_nothing() -> None:
    assert backlog((0, 0, 1, [RunningTask(2.5, 1)])).mean_s() is None
    assert backlog((0, 0, 1, [RunningTask(9.0, 1), RunningTask(0.1, 1)])).mean_s() is None
    assert backlog((0, 0, 2, [RunningTask(9.0, 1)])).mean_s() is None


def test_backlog_is_as_long_as_the_queue_has_stood_while_no_duration_is_known() -> None:
    unknown = Backlog()
    assert unknown.seconds(200, 10.0) == 0.0
    assert unknown.seconds(200, 45.0) == 35.0
    unknown.observe(0, 0, 1, [])
    unknown.observe(1, 1, 1, [])
    unknown.observe(2, 101, 1, [])
    assert unknown.seconds(200, 46.0) == pytest.approx(2.0)
    assert unknown.seconds(0, 47.0) == 0.0
