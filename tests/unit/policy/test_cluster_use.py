"""What is said of a cluster that nothing runs on, and of tasks that nobody waits for."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.policy.cluster_use import (
    PATIENCE_S,
    UNUSED,
    Notes,
    UseWatch,
    Work,
    unused_advice,
)

NOTHING_DONE = Work(now=0, finished=0)
NOT_KNOWN = Work(now=0, finished=None)
OWN = Notes(own_cluster="local[*]")
QUIET = Notes()


def watch(*, bridge: bool = False) -> UseWatch:
    return UseWatch(connect="Client() without arguments", bridge=bridge)


def told_at_the_end(work: Work | None, notes: Notes = QUIET, *, well: bool = True) -> list[str]:
    return [remark.message for remark in watch().at_the_end(work, notes, well=well)]


def test_an_unused_cluster_is_told_at_the_end_with_what_was_used_instead() -> None:
    assert told_at_the_end(NOTHING_DONE) == ["the cluster ran no task"]
    assert told_at_the_end(NOTHING_DONE, OWN) == [
        "the cluster ran no task; the program used local[*] instead"
    ]


@pytest.mark.parametrize(
    "work", [Work(now=0, finished=1), Work(now=1, finished=0), NOT_KNOWN, None]
)
def test_a_cluster_that_was_used_or_of_which_nothing_is_known_is_not_told(
    work: Work | None,
) -> None:
    assert told_at_the_end(work) == []
    assert told_at_the_end(work, OWN) == []


def test_a_task_that_was_seen_once_is_use() -> None:
    judge = watch()
    assert judge.while_running(1, Work(now=1, finished=0), QUIET) is None
    assert judge.at_the_end(NOTHING_DONE, QUIET, well=True) == ()


def test_a_program_that_failed_had_perhaps_not_come_to_its_tasks() -> None:
    assert told_at_the_end(NOTHING_DONE, well=False) == []
    assert len(told_at_the_end(NOTHING_DONE, OWN, well=False)) == 1


@pytest.mark.parametrize(
    ("seconds", "work", "told"),
    [
        (PATIENCE_S - 1, NOTHING_DONE, False),
        (PATIENCE_S, NOTHING_DONE, True),
        (PATIENCE_S, NOT_KNOWN, False),
        (PATIENCE_S, Work(now=0, finished=3), False),
    ],
    ids=["too early", "in time", "not known", "used"],
)
def test_a_program_that_runs_is_told_after_a_minute(seconds: float, work: Work, told: bool) -> None:
    assert (watch().while_running(seconds, work, QUIET) is not None) is told


def test_it_is_told_once() -> None:
    judge = watch()
    first = judge.while_running(PATIENCE_S, NOTHING_DONE, OWN)
    assert first is not None
    assert first.message == "the cluster has run no task yet; the program uses local[*] instead"
    assert judge.while_running(2 * PATIENCE_S, NOTHING_DONE, OWN) is None
    assert judge.at_the_end(NOTHING_DONE, OWN, well=True) == ()


def test_what_was_told_is_taken_back_when_a_task_runs_after_all() -> None:
    judge = watch()
    judge.while_running(PATIENCE_S, NOTHING_DONE, QUIET)
    later = judge.while_running(PATIENCE_S + 1, Work(now=1, finished=0), QUIET)
    assert later is not None
    assert (later.message, later.unused) == ("the cluster runs tasks now", False)


def test_the_bridge_is_named_unless_it_was_there() -> None:
    hints = [
        judge.at_the_end(NOTHING_DONE, OWN, well=True)[0].hint
        for judge in (watch(), watch(bridge=True))
    ]
    assert [("--bridge" in hint) for hint in hints] == [True, False]
    assert all("Client() without arguments" in hint for hint in hints)


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 task was pending or running: what it returns is lost"),
        (12, "12 tasks were pending or running: what they return is lost"),
    ],
)
def test_tasks_that_nobody_waits_for_are_counted(count: int, words: str) -> None:
    notes = Notes(unfinished=count, wait="ray.get(refs)")
    (remark,) = watch().at_the_end(Work(now=1, finished=1), notes, well=True)
    assert remark.message == f"the program ended while {words}"
    assert remark.hint == "wait for them: ray.get(refs)"
    assert watch().at_the_end(Work(now=1, finished=1), notes, well=False) == ()


def event(unused: str | None) -> Event:
    data = {} if unused is None else {UNUSED: unused}
    return Event(run=RunName("r"), kind=EventKind.WARNING, message="it ran none", data=data)


@pytest.mark.parametrize(
    ("told", "advice"),
    [
        ([], ""),
        ([None], ""),
        (["do this"], "it ran none: do this"),
        (["do this", ""], ""),
        (["", "do this", None], "it ran none: do this"),
    ],
)
def test_the_last_word_is_the_advice(told: list[str | None], advice: str) -> None:
    assert unused_advice(map(event, told)) == advice
