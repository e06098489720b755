"""kill -9 of the flow at each of the seven steps, with nobody left but a reaper: nothing stays."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

import pytest

from ebbtide.infra.lifecycle import reaper, steps
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Step
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import COUNTS, Stage, drive, ended

STEPS = [pytest.param(step, id=f"{number}-{step}") for number, step in enumerate(Step, start=1)]
_WITH_DASK = (Step.START_HEAD, Step.START_WORKERS, Step.ATTACH_AUTOSCALER)
_PATIENCE_S = 90.0
_LONG, _SHORT = "60", "0"


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_of_the_flow(stage: Stage, step: Step) -> None:
    framework = "dask" if step in _WITH_DASK else "none"
    words = (_SHORT if step is Step.TEAR_DOWN else _LONG,)
    spec = stage.runs("struck", COUNTS, framework, words=words)
    how = multiprocessing.get_context("spawn")
    flow = how.Process(target=drive_until, args=(stage.settings, spec, step), daemon=True)
    flow.start()
    flow.join(_PATIENCE_S)
    assert flow.exitcode == -signal.SIGKILL
    elsewhere = Settings(
        home=stage.folder / "reaper",
        namespace=stage.settings.namespace,
        kubeconfig=stage.settings.kubeconfig,
    )

    def reaped() -> bool:
        reaper.reap(elsewhere)
        return not stage.left()

    wait_until(reaped, _PATIENCE_S, "a reaper of another machine has released it")
    found = ended(stage, spec, None)
    assert found.run is not None
    assert found.run.over
    assert (found.run.reason is None) == (step is Step.TEAR_DOWN), "what had ended well did"
    assert found.started <= 1


def drive_until(settings: Settings, spec: RunSpec, step: Step) -> None:
    """Drive a run, in a process that is killed at a step: at 6 while the program runs."""
    original = getattr(steps, step.value)

    def faulty(attempt: steps.Attempt, *more: Any) -> Any:
        if step is Step.REQUEST_HARDWARE_TIER:
            original(attempt, *more)
        if step is Step.RUN_USER_JOB:
            attempt.platform.start_job(attempt.cluster)
            wait_until(
                lambda: (view := attempt.platform.observe(attempt.cluster)) and view.job.started_at,
                _PATIENCE_S,
                "the program runs",
            )
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(steps, step.value, faulty)
    drive(settings, spec)
