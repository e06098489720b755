"""For how long a program that can do nothing may wait for workers that are on their way."""

from __future__ import annotations

import pytest

from ebbtide.infra.policy.limits import WorkersAwaited


def judged(watch: WorkersAwaited, *looks: tuple[float, bool, int, int]) -> list[bool]:
    """Looks at moments with (something waits, workers that come, workers that are there)."""
    return [
        watch.judge(now_s, work_waits=waits, coming=coming, joined=joined)
        for now_s, waits, coming, joined in looks
    ]


@pytest.mark.parametrize("start_s", [0.0, 1000.0])
def test_what_waits_may_wait_for_as_long_as_the_run_had_to_start(start_s: float) -> None:
    looks = ((start_s + waited_s, True, 1, 1) for waited_s in (0.0, 59.9, 60.0, 1e6))
    assert judged(WorkersAwaited(60.0), *looks) == [True, True, False, False]


@pytest.mark.parametrize(("waits", "coming"), [(False, 1), (True, 0), (False, 0)])
def test_nobody_is_awaited_where_nothing_waits_or_nobody_comes(waits: bool, coming: int) -> None:
    assert judged(WorkersAwaited(60.0), (0.0, waits, coming, 1)) == [False]


def test_time_begins_anew_when_one_more_has_joined() -> None:
    looks = [(0.0, True, 2, 1), (59.0, True, 2, 1), (60.0, True, 1, 2), (119.0, True, 1, 2)]
    assert judged(WorkersAwaited(60.0), *looks, (120.0, True, 1, 2)) == [*[True] * 4, False]


def test_time_begins_anew_when_nothing_has_waited() -> None:
    looks = [(0.0, True, 1, 1), (50.0, False, 1, 1), (60.0, True, 1, 1), (119.0, True, 1, 1)]
    assert judged(WorkersAwaited(60.0), *looks) == [True, False, True, True]


def test_worker_that_is_on_its_way_again_and_again_makes_it_no_longer() -> None:
    looks = [(float(s), True, s % 2, 1) for s in range(0, 80)]
    awaited = judged(WorkersAwaited(60.0), *looks)
    assert [s for s, found in enumerate(awaited) if found] == list(range(1, 61, 2))


def test_worker_that_is_lost_and_joins_again_makes_it_no_longer() -> None:
    looks = [(float(s), True, 1, 2 - s % 2) for s in range(0, 70)]
    assert judged(WorkersAwaited(60.0), *looks) == [True] * 60 + [False] * 10


def test_loss_of_a_worker_alone_makes_it_no_longer() -> None:
    looks = [(0.0, True, 1, 2), (50.0, True, 2, 1), (60.0, True, 2, 1)]
    assert judged(WorkersAwaited(60.0), *looks) == [True, True, False]
