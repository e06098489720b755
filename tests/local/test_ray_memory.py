"""Processes that Ray itself ends for memory are part of a run's story, however it ended."""

from __future__ import annotations

from pathlib import Path

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.policy.explain.diagnosis import Story, diagnose
from tests.clusters import carried_out, run_spec, script
from tests.contract.conftest import small

ALWAYS_TOO_MUCH = {"RAY_memory_usage_threshold": "0.001", "RAY_task_oom_retries": "1"}

PROGRAM = """
    import ray
    from tests.load import at_work
    from tests.helpers import wait_until

    ray.init(log_to_driver=False)
    try:
        ray.get(ray.remote(at_work).remote(600))
    except ray.exceptions.OutOfMemoryError:
        print("caught")
    at_work(5)
    """


def test_run_that_went_well_in_spite_of_killed_tasks_says_so(
    ebb_home: Path, tmp_path: Path
) -> None:
    spec = run_spec("killed", small("ray"), script(tmp_path, PROGRAM), env=ALWAYS_TOO_MUCH)
    outcome = carried_out(ebb_home, spec)
    assert outcome.error is None, outcome.errors()
    assert outcome.output().endswith("caught\n")
    run = outcome.run
    story = Story(run.phase, run.reason, run.detail, run.exit_code, run.created, outcome.events)
    found = diagnose(story)
    assert any("ray killed 1 process of workers: out of memory" in e for e in found.evidence)
    assert "use a larger --tier" in found.fix
    assert Reason.OUT_OF_MEMORY in [event.reason for event in outcome.events]
