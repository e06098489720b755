"""Tasks that run and get nowhere are noticed once; those that compute or end never are."""

from __future__ import annotations

from ebbtide.infra.policy.progress import Activity, ProgressWatch


def activity(finished: int | None = 3, cores: float = 0.0, **running: int) -> Activity:
    return Activity(running=running, finished=finished, cores=cores, workers=2)


def said(watch: ProgressWatch, *seen: tuple[float, Activity]) -> list[float]:
    return [at for at, what in seen if watch.judge(at, what)]


STUCK = activity(a=2, b=1)


def test_nothing_ended_and_no_cpu_is_said_once_with_what_is_known() -> None:
    watch = ProgressWatch(60)
    assert said(watch, (0, STUCK), (1, STUCK), (60, STUCK)) == []
    assert watch.judge(61, STUCK).startswith("no progress for 1m: 3 tasks run (a: 2, b: 1)")
    assert watch.judge(200, STUCK) == ""


def test_time_counts_anew_when_a_task_ends_or_somebody_computes() -> None:
    for between in (activity(finished=4, a=1), activity(cores=1.0, a=1), activity()):
        watch = ProgressWatch(60)
        assert said(watch, (0, STUCK), (1, STUCK), (50, between), (70, STUCK), (120, STUCK)) == []


def test_it_is_said_again_after_progress_between() -> None:
    watch = ProgressWatch(60)
    seen = [(0, STUCK), (1, STUCK), (70, STUCK), (80, activity(a=1, finished=9))]
    later = [(at, activity(finished=9, a=1)) for at in (90, 151)]
    assert said(watch, *seen, *later) == [70, 151]


def test_unknown_number_of_ended_tasks_and_never_say_nothing() -> None:
    unknown = activity(finished=None, a=1)
    assert said(ProgressWatch(60), (0, unknown), (1, unknown), (100, unknown)) == []
    assert said(ProgressWatch(None), (0, STUCK), (1, STUCK), (1e6, STUCK)) == []
