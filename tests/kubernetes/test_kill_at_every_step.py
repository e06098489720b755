"""kill -9 of the flow at each of the seven steps: another adopts, or a reaper leaves nothing."""

from __future__ import annotations

import signal

import pytest

from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.models.phases import Step
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import COUNTS, Flow, KillableFlow, Stage, ended

_OFTEN = (Step.REQUEST_HARDWARE_TIER, Step.START_HEAD, Step.RUN_USER_JOB, Step.TEAR_DOWN)
STEPS = [
    pytest.param(step, id=f"{number}-{step}", marks=() if step in _OFTEN else pytest.mark.long)
    for number, step in enumerate(Step, start=1)
]
"""Four of them in CI, all in ``make test-all``."""
_WITH_DASK = (Step.START_HEAD, Step.START_WORKERS, Step.ATTACH_AUTOSCALER)
_PATIENCE_S = 90.0
_LONG, _SHORT, _SOME = "60", "0", "8"


@pytest.mark.parametrize("step", STEPS)
def test_kill_9_of_the_flow(stage: Stage, step: Step) -> None:
    framework = "dask" if step in _WITH_DASK else "none"
    words = (_SHORT if step is Step.TEAR_DOWN else _LONG,)
    spec = stage.runs("struck", COUNTS, framework, words=words)
    flow = KillableFlow(stage, spec, dies_at=step)
    assert flow.ended(_PATIENCE_S) == -signal.SIGKILL
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


@pytest.mark.long
@pytest.mark.parametrize("step", list(Step), ids=lambda step: step.value)
def test_flow_that_follows_a_killed_one_adopts_what_is_there(stage: Stage, step: Step) -> None:
    framework = "dask" if step in _WITH_DASK else "none"
    spec = stage.runs("followed", COUNTS, framework, words=(_SOME,), lease_s=30)
    assert KillableFlow(stage, spec, dies_at=step).ended(_PATIENCE_S) == -signal.SIGKILL
    found = Flow(stage, spec).ended()
    assert (found.error, found.attempts, found.started) == (None, [], 1)
    assert found.counted_once()
    assert found.files == {"kept.txt": "kept"}
    assert stage.left() == []
