"""What is said of members that die: real processes of a framework that does nothing else."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.frameworks.base import HeadInfo, ProcessSpec
from ebbtide.infra.frameworks.dask.framework import Dask
from ebbtide.infra.frameworks.plan import ClusterPlan, Timeouts
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import layout
from ebbtide.infra.platforms.local.processes import ProcessContext
from ebbtide.infra.platforms.local.supervisor import members as module
from ebbtide.infra.platforms.local.supervisor.gpus import HeldGpus
from ebbtide.infra.platforms.local.supervisor.members import Members
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec
from tests.helpers import wait_until


class Dies(Dask):
    """Its members do what ``code`` says."""

    code = ""

    def head(self, *_: Any) -> ProcessSpec:
        return ProcessSpec(argv=(sys.executable, "-c", self.code))

    def worker(self, *_: Any) -> ProcessSpec:
        return self.head()


@pytest.fixture
def members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Members:
    monkeypatch.setattr(module, "load_framework", lambda _: Dies())
    folders = layout.Layout(tmp_path / "cluster")
    folders.folder.mkdir()
    plan = ClusterPlan(
        cluster=ClusterId("heron-1"),
        spec=cluster_spec(),
        paths=folders.member_paths("distributed", tmp_path),
        timeouts=Timeouts(worker_join_s=0.5),
    )
    place = ProcessContext(
        home=tmp_path, run=RunName("heron"), cluster=ClusterId("heron-1"), logs=tmp_path
    )
    ledger = Ledger(tmp_path)
    reporter = StatusReporter(ledger, place.run, place.cluster)
    gpus = HeldGpus(plan.spec.pool, ledger, place.cluster)
    return Members(plan, folders, place, {}, reporter, gpus)


def ended(members: Members) -> str:
    """Start a worker and return what is said when it has ended."""
    members.start_worker()
    (gone,) = wait_until(members.exited_workers, 20, "it has ended")
    return gone.how


def standing_head(members: Members) -> None:
    members.head_info = HeadInfo(address="", dashboard="", status_url="", secret="")


def test_worker_that_dies_is_told_by_the_line_that_tells_why(members: Members) -> None:
    Dies.code = "print('importing'); raise OSError('no libz')"
    assert ended(members) == "exited with 1; its log says: OSError: no libz"


def test_worker_that_dies_without_a_word_is_told_by_its_signal(members: Members) -> None:
    Dies.code = "import os; os.kill(os.getpid(), 15)"
    assert ended(members) == "was killed by SIGTERM (143), and its log says nothing"


def test_workers_that_did_not_join_are_told_by_the_one_that_died_not_by_its_successor(
    members: Members,
) -> None:
    standing_head(members)
    Dies.code = "raise ModuleNotFoundError('No module named numpy')"
    ended(members)
    assert members.join_failure(1) is None
    ended(members)
    Dies.code = "import time; time.sleep(60)"
    members.start_worker()
    failure = members.join_failure(1)
    members.workers["worker-2"].process.kill()
    assert failure is not None
    assert (failure.reason, failure.in_vain) == (Reason.WORKERS_NOT_JOINED, True)
    assert failure.detail == (
        "0 of 1 joined; worker-1 exited with 1; its log says: ModuleNotFoundError: No module named"
        " numpy; twice in the same way, so it is not tried again"
    )
    assert "workers import what is installed" in failure.hint


def test_worker_that_lives_and_does_not_join_is_told_by_what_it_said_last(members: Members) -> None:
    standing_head(members)
    Dies.code = "print('looking for the head', flush=True); import time; time.sleep(60)"
    members.start_worker()
    log = members.plan.paths.artifacts / "worker-0.log"
    wait_until(lambda: Path(log).read_text(), 20, "it has said something")
    failure = wait_until(lambda: members.join_failure(1), 20, "it is too late")
    members.workers["worker-0"].process.kill()
    assert failure is not None
    assert failure.detail.endswith("worker-0 runs since 0 s and said last: looking for the head")
    assert not failure.in_vain


def test_head_that_dies_twice_in_one_way_is_not_started_again(members: Members) -> None:
    Dies.code = "import sys; sys.exit('ebb: no port is free')"
    members.start_head()
    failure = wait_until(members.head_failure, 20, "it is given up")
    assert failure is not None
    assert (failure.reason, failure.in_vain) == (Reason.HEAD_NOT_READY, True)
    assert failure.detail.startswith("the head exited with 1; its log says: ebb: no port is free;")
