"""What every framework promises about demand: workers come for what waits, with no CPU used.

One run a framework: it asks for two workers before it computes, then lets tasks sleep for longer
than the target, then wants what no worker of the run can ever give.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.job import Limits
from ebbtide.infra.models.phases import ExitCode, Reason
from tests.clusters import Outcome
from tests.contract.conftest import small
from tests.contract.rig import Rig

PROGRAMS = Path(__file__).parent / "programs"
RESERVES = {
    "dask": "demand: wait_for_workers asks for 2 workers",
    "ray": "demand: placement group of 2 bundles of 1 CPU",
    "spark": "demand: barrier stage of 2 slots of 1 CPU",
}
NEVER = {
    "dask": "task train needs GPU 1; a worker of tier tiny offers 1 CPU, 600 MiB",
    "ray": "task train needs 1 CPU, GPU 1; a worker of tier tiny offers 1 CPU",
    "spark": "needs 9 slots of 1 CPU at once; --workers allows 3",
}


@pytest.fixture(scope="module")
def outcome(each_framework: str, rig_of_module: Rig) -> Outcome:
    """Of a run of up to three workers; the use of CPU alone would bring none."""
    framework = each_framework
    cluster = small(framework)
    policy = replace(
        cluster.policy, target_cpu_percent=1000, target_backlog_s=5, scale_down_window_s=20
    )
    program = PROGRAMS / f"demand_{framework}.py"
    spec = rig_of_module.run(
        f"demand-{framework}",
        replace(cluster, policy=policy),
        program,
        limits=Limits(idle_release_s=15),
    )
    return rig_of_module.carried_out(spec)


def framework_of(outcome: Outcome) -> str:
    return outcome.run.spec.cluster.framework


def test_work_that_reserves_before_it_computes_brings_its_workers(outcome: Outcome) -> None:
    first = outcome.messages("scaled")[0]
    assert first.startswith(f"workers 1 → 2   {RESERVES[framework_of(outcome)]}"), outcome.errors()
    assert "waited" in outcome.output()


def test_tasks_that_only_wait_bring_workers_when_they_are_many(outcome: Outcome) -> None:
    grown = [said for said in outcome.messages("scaled") if "→ 3" in said]
    assert any("tasks" in said and "of work, target 5.0s" in said for said in grown), grown
    assert "slept" in outcome.output()


def test_what_can_never_run_is_told_with_what_there_is(outcome: Outcome) -> None:
    said = [message for message in outcome.messages("warning") if "cannot run: " in message]
    assert len(said) == 1, outcome.errors()
    assert NEVER[framework_of(outcome)] in said[0]


def test_queued_work_that_can_never_run_does_not_keep_the_cluster(outcome: Outcome) -> None:
    assert (outcome.run.reason, outcome.run.exit_code) == (Reason.CANNOT_RUN, ExitCode.TIMEOUT)
    assert NEVER[framework_of(outcome)] in outcome.run.detail
