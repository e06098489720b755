"""A fault in the middle of a run: what becomes of it, who releases, what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace

import pytest
from kubernetes import client

from ebbtide.infra.models.job import Limits, RetryPolicy
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.platforms.kubernetes.kinds import EVENT, LEASE
from ebbtide.infra.platforms.kubernetes.reading.snapshot import began
from tests.helpers import wait_until
from tests.kubernetes.conftest import RESTRICTED
from tests.kubernetes.fault_stage import ONCE_MORE, Flow, KillableFlow, Stage, said
from tests.kubernetes.lab import faults
from tests.kubernetes.lab.place import Lab

Switch = Callable[[Lab], AbstractContextManager[None]]
AWAY = [
    faults.killed,
    pytest.param(faults.stopped, marks=pytest.mark.long),
    pytest.param(faults.refused, marks=pytest.mark.long),
]
OUTAGE_S = 14.0
"""More than twice what a Lease of these tests lasts."""


@pytest.mark.parametrize("away", AWAY)
def test_program_goes_on_while_the_api_server_is_away(lab: Lab, stage: Stage, away: Switch) -> None:
    flow = Flow(stage, stage.counts("outage", 25))
    flow.says("begun")
    with away(lab):
        threading.Event().wait(OUTAGE_S)
    ended = flow.ended()
    assert (ended.error, ended.attempts) == (None, [])
    assert ended.counted_once()
    assert ended.files == {"kept.txt": "kept"}
    assert len(ended.warnings("API server")) == 1
    assert stage.left() == []


@pytest.mark.long
def test_outage_while_it_starts_is_waited_for(lab: Lab, stage: Stage) -> None:
    flow = Flow(stage, stage.counts("begins", 2))
    flow.reaches(lambda: stage.find(LEASE, flow.cluster), "the cluster is declared")
    with faults.killed(lab):
        threading.Event().wait(OUTAGE_S)
    ended = flow.ended()
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert stage.left() == []


def test_killed_flow_is_followed_by_one_that_adopts_the_program(stage: Stage) -> None:
    spec = stage.counts("adopted", 25, lease_s=30)
    first = KillableFlow(stage, spec)
    wait_until(lambda: "begun" in said(stage, spec), 90, "begun")
    before = stage.pod("adopted-1-driver")
    first.kill()
    ended = Flow(stage, spec).ended()
    assert before is not None
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert ended.files == {"kept.txt": "kept"}
    assert stage.left() == []


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        (RetryPolicy(reasons=()), []),
        pytest.param(ONCE_MORE, [1], marks=pytest.mark.long),
    ],
)
def test_evicted_program_is_an_infrastructure_failure(
    stage: Stage, retry: RetryPolicy, attempts: list[int]
) -> None:
    flow = Flow(stage, stage.counts("evicted", 12, retry=retry))
    flow.says("begun")
    stage.evict(flow.driver)
    ended = flow.ended()
    assert ended.attempts == [Reason.EVICTED for _ in attempts]
    assert ended.reason is (None if attempts else Reason.EVICTED)
    assert "begun" in ended.stdout
    assert ended.files == {"kept.txt": "kept"}
    assert stage.left() == []


@pytest.mark.parametrize(
    ("registry", "reason", "said"),
    [
        (faults.REGISTRY, Reason.IMAGE_UNUSABLE, "nobody:1: not found"),
        ("127.0.0.1:1", Reason.REGISTRY_SILENT, "connect: connection refused"),
    ],
)
def test_image_that_cannot_be_pulled_ends_the_run_and_no_fresh_cluster_asks_again(
    lab: Lab, stage: Stage, registry: str, reason: Reason, said: str
) -> None:
    there = replace(stage, pool=replace(stage.pool, images={"none": f"{registry}/nobody:1"}))
    with faults.empty_registry(lab):
        ended = Flow(there, there.counts("unpullable", 1, retry=RetryPolicy())).ended()
    assert (ended.reason, ended.attempts) == (reason, [])
    assert said in str(ended.error)
    events = stage.api.list(EVENT).items
    answered = min(began(each) for each in events if "Failed to pull" in each.get("message", ""))
    assert ended.run is not None
    # It is given up after 25 s (a unit test's); a fresh cluster would ask for 25 s once more, and a
    # busy machine needs some seconds for the release.
    assert (ended.run.ended or 0) - answered < 50
    assert stage.left() == []


def test_registry_that_never_answers_is_given_up_after_the_pools_own_time(
    lab: Lab, stage: Stage
) -> None:
    images = {"none": f"{faults.REGISTRY}/large:1"}
    there = replace(stage, pool=replace(stage.pool, images=images, pull_within_s=8))
    with faults.silent_registry(lab):
        flow = Flow(there, there.counts("unanswered", 1, retry=RetryPolicy()))
        ended = flow.ended()
        assert (ended.reason, ended.attempts) == (Reason.REGISTRY_SILENT, [])
        assert f"is pulling {faults.REGISTRY}/large:1 for 8.0s, no answer" in str(ended.error)
        assert ended.run is not None
        pulled = [each for each in stage.api.list(EVENT).items if each.get("reason") == "Pulling"]
        assert (ended.run.ended or 0) - min(map(began, pulled)) < 8 + 25
        # Its kubelet ends no pod before the pull ends: that is told, and not waited for.
        assert len(ended.warnings("which still pulls its image, until")) == 1
        assert stage.left() == [f"driver {flow.driver}"]
    wait_until(lambda: stage.left() == [], 30, "the registry is gone, and with it the pull")


@pytest.mark.long
def test_deleted_namespace_ends_the_run_with_its_own_reason(
    lab: Lab, stage: Stage, api: client.ApiClient
) -> None:
    name = f"{stage.api.namespace}-goes"
    client.CoreV1Api(api).create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
    there = Api(Access(kubeconfig=str(lab.kubeconfig), namespace=name))
    homeless = replace(stage, settings=replace(stage.settings, namespace=name), api=there)
    flow = Flow(homeless, homeless.counts("homeless", 60, retry=ONCE_MORE))
    flow.says("begun")
    client.CoreV1Api(api).delete_namespace(name)
    ended = flow.ended()
    there.close()
    assert (ended.reason, ended.attempts) == (Reason.NAMESPACE_GONE, [])
    assert "begun" in ended.stdout


@pytest.mark.long
def test_quota_that_is_used_up_from_the_start_is_said(stage: Stage, api: client.ApiClient) -> None:
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {"pods": "0"}}}
    client.CoreV1Api(api).create_namespaced_resource_quota(stage.api.namespace, quota)
    limits = Limits(start_within_s=12)
    ended = Flow(stage, stage.counts("quota", 1, limits=limits)).ended()
    assert ended.reason in (Reason.QUOTA, Reason.NOT_IN_TIME)
    assert ended.error is not None
    assert ended.error.exit_code == ExitCode.NO_CAPACITY
    assert stage.left() == []
