"""Which runs are ended by whoever has proved the release of their cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.models.cluster import ClusterView, Failure, JobView
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import Run
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec

RUN = RunName("copper-heron")
EXITED_3 = {"ended_at": 2.0, "exit_code": 3}


def ended(home: Path, job: dict[str, Any], *, retry: RetryPolicy, **view: Any) -> Run:
    """The run, after its cluster was released with a program like this."""
    spec = run_spec(RUN, cluster_spec(), retry=retry)
    ledger = Ledger(home)
    ledger.reserve(Run(name=RUN, spec_json=to_json(spec)))
    seen = ClusterView(cluster=ClusterId(f"{RUN}-1"), job=JobView(started_at=1.0, **job), **view)
    told = runs.end_with_cluster(ledger, spec, seen)
    run = ledger.run(RUN)
    ledger.close()
    assert run is not None
    assert told is run.over
    return run


NEVER, WHEN_IT_FAILS = RetryPolicy(reasons=()), RetryPolicy(reasons=("job",), attempts=2)


def test_program_that_ended_well_ends_its_run(tmp_path: Path) -> None:
    run = ended(tmp_path, {"ended_at": 2.0, "exit_code": 0}, retry=WHEN_IT_FAILS)
    assert (run.phase, run.exit_code) == ("Succeeded", 0)


def test_program_that_failed_for_good_ends_its_run_with_its_code(tmp_path: Path) -> None:
    run = ended(tmp_path, EXITED_3, retry=NEVER)
    assert (run.phase, run.reason, run.exit_code) == ("Failed", Reason.EXIT_CODE, 3)


def test_limit_that_ended_the_program_ends_its_run(tmp_path: Path) -> None:
    run = ended(tmp_path, {**EXITED_3, "reason": Reason.TIME_LIMIT}, retry=NEVER)
    assert (run.reason, run.exit_code) == (Reason.TIME_LIMIT, 124)


@pytest.mark.parametrize(
    ("job", "retry", "view"),
    [
        (EXITED_3, WHEN_IT_FAILS, {}),
        ({}, NEVER, {}),
        ({**EXITED_3, "reason": Reason.SUPERVISOR_LOST}, NEVER, {}),
        (EXITED_3, NEVER, {"failure": Failure(step=Step.START_HEAD, reason=Reason.HEAD_LOST)}),
    ],
    ids=["tried again", "program goes on", "infrastructure", "cluster has failed"],
)
def test_whatever_is_the_flows_to_judge_is_left_to_it(
    tmp_path: Path, job: dict[str, Any], retry: RetryPolicy, view: dict[str, Any]
) -> None:
    assert not ended(tmp_path, job, retry=retry, **view).over
