"""kill -9 at each of the seven steps: the flow, the supervisor, both. Counted: what is left."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import pytest

from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.models.phases import ExitCode, Step
from tests.faults.conftest import Note
from tests.faults.stage import ITS_CODE, Stage, assert_one_at_a_time

STEPS = [pytest.param(step, id=f"{number}-{step}") for number, step in enumerate(Step, start=1)]
PREFECT_STEPS = [
    pytest.param(step, id=step)
    for step in (Step.WAIT_FOR_NODES, Step.START_WORKERS, Step.RUN_USER_JOB)
]
_OFTEN = (Step.START_HEAD, Step.START_WORKERS, Step.RUN_USER_JOB)
_OTHERS = [
    pytest.param(
        framework,
        step,
        id=f"{framework}-{number}-{step}",
        marks=() if step in _OFTEN else pytest.mark.long,
    )
    for framework in ("ray", "spark")
    for number, step in enumerate(Step, start=1)
]
"""Their clusters take long to come: three steps in CI, all of them in ``make test-all``."""
_WITH_DASK = (Step.START_HEAD, Step.START_WORKERS, Step.ATTACH_AUTOSCALER, Step.RUN_USER_JOB)


def _framework(step: Step) -> str:
    return "dask" if step in _WITH_DASK else "none"


def _starts_before(step: Step) -> int:
    """How often the program has started when the fault comes."""
    return int(step in (Step.RUN_USER_JOB, Step.TEAR_DOWN))


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_of_the_flow(stage: Stage, note: Note, step: Step) -> None:
    _kill_the_flow(stage, note, step)


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_of_the_supervisor(stage: Stage, note: Note, step: Step) -> None:
    _kill_the_supervisor(stage, note, step)


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_of_both_at_once(stage: Stage, note: Note, step: Step) -> None:
    _kill_both(stage, note, step)


@pytest.mark.parametrize(("framework", "step"), _OTHERS)
def test_kill_9_of_the_flow_of_another_framework(
    stage: Stage, note: Note, framework: str, step: Step
) -> None:
    _kill_the_flow(stage, note, step, framework=framework)


@pytest.mark.parametrize(("framework", "step"), _OTHERS)
def test_kill_9_of_the_supervisor_of_another_framework(
    stage: Stage, note: Note, framework: str, step: Step
) -> None:
    _kill_the_supervisor(stage, note, step, framework=framework)


@pytest.mark.parametrize(("framework", "step"), _OTHERS)
def test_kill_9_of_both_of_another_framework(
    stage: Stage, note: Note, framework: str, step: Step
) -> None:
    _kill_both(stage, note, step, framework=framework)


@pytest.mark.parametrize("step", PREFECT_STEPS)
def test_kill_9_of_a_prefect_flow(
    stage: Stage, note: Note, step: Step, prefect_environment: Mapping[str, str]
) -> None:
    _kill_the_flow(stage, note, step, prefect_environment)


@pytest.mark.parametrize("step", PREFECT_STEPS)
def test_kill_9_of_the_supervisor_below_a_prefect_flow(
    stage: Stage, note: Note, step: Step, prefect_environment: Mapping[str, str]
) -> None:
    _kill_the_supervisor(stage, note, step, prefect_environment)


def test_a_program_that_ended_well_is_not_run_again(stage: Stage) -> None:
    stage.let_program_end()
    flow = stage.start(stage.spec("none", "0"), Step.TEAR_DOWN, "supervisor")
    assert stage.wait_for_end(flow) == ExitCode.OK
    stage.wait_for_nothing()
    assert stage.starts() == 1
    assert stage.run_row()["phase"] == "Succeeded"


def _kill_the_flow(
    stage: Stage,
    note: Note,
    step: Step,
    prefect: Mapping[str, str] | None = None,
    framework: str = "",
) -> None:
    """The lease lapses, the supervisor releases and ends the run."""
    _let_end_unless_struck_while_running(stage, step)
    flow = stage.start(stage.spec(framework or _framework(step)), step, "flow", prefect=prefect)
    assert stage.wait_for_end(flow) == -signal.SIGKILL
    stage.wait_for_nothing()
    note(stage.since_fault())
    assert stage.starts() == _starts_before(step)
    assert len(stage.clusters()) == 1
    _assert_told(stage, step)


def _kill_both(stage: Stage, note: Note, step: Step, framework: str = "") -> None:
    """The guard releases at once, and the next command ends the run."""
    _let_end_unless_struck_while_running(stage, step)
    flow = stage.start(stage.spec(framework or _framework(step)), step, "both")
    assert stage.wait_for_end(flow) == -signal.SIGKILL
    stage.wait_for_nothing(stage.without_runs)
    note(stage.since_fault())
    reaper.reap(stage.settings)
    stage.wait_for_nothing()
    assert stage.starts() == _starts_before(step)
    assert [row["released_by"].split()[0] for row in stage.clusters()] == ["guard"]
    _assert_told(stage, step)


def _kill_the_supervisor(
    stage: Stage,
    note: Note,
    step: Step,
    prefect: Mapping[str, str] | None = None,
    framework: str = "",
) -> None:
    """The guard releases, the flow sees it and finishes the job on a fresh cluster."""
    _let_end_unless_struck_while_running(stage, step)
    flow = stage.start(
        stage.spec(framework or _framework(step)), step, "supervisor", prefect=prefect
    )
    assert stage.wait_for_end(flow) == ITS_CODE
    stage.wait_for_nothing()
    clusters = stage.clusters()
    note(clusters[0]["released_at"] - stage.killed_at(), "to release; a fresh cluster then ends it")
    assert_one_at_a_time(clusters)
    assert (stage.run_row()["reason"], stage.run_row()["exit_code"]) == ("JOB:EXIT_CODE", ITS_CODE)
    if step is Step.TEAR_DOWN:
        assert (len(clusters), stage.starts()) == (1, 1)
        return
    assert (len(clusters), stage.starts()) == (2, 1 + _starts_before(step))
    (attempt,) = stage.rows("SELECT reason FROM events WHERE kind = 'attempt'")
    assert attempt["reason"] == "INFRA:SUPERVISOR_LOST"


def _let_end_unless_struck_while_running(stage: Stage, step: Step) -> None:
    if step is not Step.RUN_USER_JOB:
        stage.let_program_end()


def _assert_told(stage: Stage, step: Step) -> None:
    """A program that had ended decides how the run ended; else it was the flow's death."""
    row = stage.run_row()
    told = (row["reason"], row["exit_code"])
    if step is Step.TEAR_DOWN:
        assert told == ("JOB:EXIT_CODE", ITS_CODE)
    else:
        assert told == ("INFRA:FLOW_LOST", ExitCode.INFRASTRUCTURE)
