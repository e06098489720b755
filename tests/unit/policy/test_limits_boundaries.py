"""Idleness and time limit at their edges: exactly on them, and a second time."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.job import Limits
from ebbtide.infra.policy.limits import LimitsWatch, Verdict

IDLE, WORK = (False, 0.0), (True, 0.0)


def watch(**limits: object) -> LimitsWatch:
    return LimitsWatch(Limits(**{"idle_release_s": 10.0, **limits}))  # type: ignore[arg-type]


def seen(judge: LimitsWatch, *looks: tuple[float, tuple[bool, float]]) -> list[Verdict]:
    """Verdicts of looks at moments with (has work, cores of the program)."""
    return [judge.judge(now_s, 0.0, *what) for now_s, what in looks]


def test_second_idleness_is_warned_of_and_acted_upon_like_the_first() -> None:
    judge = watch()
    seen(judge, (0, IDLE), (5, IDLE), (10, IDLE), (20, WORK))
    assert seen(judge, (30, IDLE), (34, IDLE), (35, IDLE), (40, IDLE)) == [
        Verdict.GO_ON,
        Verdict.GO_ON,
        Verdict.WARN_IDLE,
        Verdict.IDLE,
    ]


def test_look_that_comes_late_warns_and_the_next_one_acts() -> None:
    assert seen(watch(), (0, IDLE), (11, IDLE), (12, IDLE), (13, IDLE)) == [
        Verdict.GO_ON,
        Verdict.WARN_IDLE,
        Verdict.IDLE,
        Verdict.GO_ON,
    ]


@pytest.mark.parametrize(("cores", "idle"), [(0.0, True), (0.05, True), (0.051, False)])
def test_program_at_a_twentieth_of_a_core_computes_nothing(cores: float, idle: bool) -> None:
    judge = watch()
    seen(judge, (0, (False, cores)), (9, (False, cores)))
    assert (judge.judge(10.0, 0.0, False, cores) is Verdict.IDLE) is idle


def test_idle_time_is_counted_from_the_first_idle_look() -> None:
    judge = watch()
    seen(judge, (100, IDLE))
    assert judge.idle_s(107.0) == 7.0


@pytest.mark.parametrize("looks", [[], [(1.0, WORK)], [(1.0, IDLE), (2.0, WORK)]])
def test_without_idleness_there_is_no_idle_time(
    looks: list[tuple[float, tuple[bool, float]]],
) -> None:
    judge = watch()
    seen(judge, *looks)
    assert judge.idle_s(50.0) == 0.0


def test_idle_time_goes_on_where_idleness_has_no_limit() -> None:
    judge = watch(idle_release_s=None)
    seen(judge, (0, IDLE), (50, IDLE))
    assert judge.idle_s(60.0) == 60.0


def test_time_limit_is_told_before_idleness() -> None:
    judge = watch(time_limit_s=10.0)
    assert seen(judge, (0, IDLE), (10, IDLE))[-1] is Verdict.TIME_LIMIT


def test_time_limit_is_told_again_as_long_as_the_program_runs() -> None:
    judge = watch(time_limit_s=10.0)
    assert seen(judge, (10, WORK), (11, WORK)) == [Verdict.TIME_LIMIT] * 2
