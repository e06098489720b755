"""What is done for a cluster at each look, and when nothing is."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from ebbtide.infra.frameworks.door import SECRET_FILE
from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.tending import care as module
from ebbtide.infra.platforms.kubernetes.tending.care import Care
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec
from tests.unit.platforms.tending.fakes import (
    CLUSTER,
    Clock,
    FakeApi,
    autoscaler,
    deployment,
    pod,
    used,
)

SECRET = {"data": {SECRET_FILE: base64.b64encode(b"known").decode()}}
READY = ClusterView(cluster=CLUSTER, head_ready_at=1.0, worker_names={"w-a": "worker-0"})


class SilentApi(FakeApi):
    """Has no way to the head; notes who looks for one."""

    def get(self, kind: Any, name: str) -> Any:
        del kind, name
        return SECRET

    def connect(self, pod: str, port: int) -> Any:
        self.ran.append((pod, str(port)))
        raise ApiError(404, "NotFound", "no such pod")


class Stage:
    """One cluster, its ledger, and a clock."""

    def __init__(self, home: Path, clock: Clock):
        self.ledger = Ledger(home)
        self.ledger.reserve(Run(name=RunName("heron"), spec_json="{}"))
        self.ledger.add_cluster(CLUSTER, RunName("heron"), attempt=1, pool="test", lease_s=5)
        self.api, self.clock = SilentApi(answer={"items": []}), clock
        self.reporter = StatusReporter(self.ledger, RunName("heron"), CLUSTER)
        spec = run_spec("heron", cluster_spec())
        self.care = Care(cast(Api, self.api), spec, self.ledger, self.reporter)

    def look(self, view: ClusterView = READY, lease: Object | None = None) -> None:
        seen = Snapshot(
            cluster=CLUSTER,
            now=9.0,
            lease=lease or {"metadata": {"name": CLUSTER}},
            pods=(pod("w-a"),),
            deployment=deployment(1),
            autoscaler=autoscaler(desiredReplicas=1, currentMetrics=used(cpu=50)),
        )
        self.care.tick(seen, view)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    clock = Clock()
    monkeypatch.setattr(module, "now_s", clock)
    made = Stage(tmp_path, clock)
    with contextlib.closing(made.ledger), contextlib.closing(made.care):
        yield made


def test_what_changes_often_is_looked_at_once_a_second(stage: Stage) -> None:
    for _ in range(20):
        stage.look()
        stage.clock.now_s += 0.1
    assert len(stage.api.ran) == 3, "at 0, 0.9 and 1.8 s"
    assert stage.reporter.view.autoscaler == "1 of 1..8 workers, CPU 50 % of 80 %"


def test_head_is_not_asked_before_it_answers(stage: Stage) -> None:
    stage.look(ClusterView(cluster=CLUSTER))
    assert stage.api.ran == []


def test_share_of_a_worker_is_in_the_book_whatever_the_head_says(stage: Stage) -> None:
    stage.look()
    (span,) = stage.ledger.spans(RunName("heron"))
    assert (span.owner, span.tier) == ("worker-0", "tiny")


def test_floor_stays_while_the_head_is_silent(stage: Stage) -> None:
    stage.look()
    assert stage.api.merged == []


def test_nothing_is_done_for_what_is_given_back(stage: Stage) -> None:
    stage.look(lease={"metadata": {"name": CLUSTER, "deletionTimestamp": "2026-11-27T03:00:00Z"}})
    assert (stage.api.ran, stage.api.asked) == ([], 0)


@pytest.mark.parametrize("known", [JobView(), JobView(ended_at=5.0, exit_code=0)])
def test_tasks_that_nobody_waits_for_are_told_when_the_program_ends(
    stage: Stage, known: JobView
) -> None:
    """By the notes that its wrapper left; once, whoever tells of its end."""
    notes = {"unfinished": {"count": 1, "wait": "ebb logs RUN"}}
    terminated = {"exitCode": 0, "message": json.dumps({"exit_code": 0, "notes": notes})}
    driver = pod("heron-1-driver", "driver")
    driver["status"] = {
        "containerStatuses": [{"name": "driver", "state": {"terminated": terminated}}]
    }
    ended = ClusterView(cluster=CLUSTER, job=JobView(started_at=1.0, ended_at=5.0, exit_code=0))
    stage.reporter.view = ClusterView(cluster=CLUSTER, job=known)
    snapshot = Snapshot(cluster=CLUSTER, now=9.0, lease={"metadata": {}}, pods=(driver,))
    assert stage.care.told(snapshot, ended) == ended
    told = [event.message for event in stage.ledger.events(RunName("heron"))]
    lost = "the program ended while 1 task was pending or running: what it returns is lost"
    assert told == ([] if known.ended_at else [lost])
