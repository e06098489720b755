"""What becomes of a run when one of its pods is evicted, cannot be pulled, or is not allowed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kubernetes import client

from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.kubernetes.kinds import POD
from ebbtide.infra.platforms.kubernetes.naming import selector
from ebbtide.infra.waiting import now_s
from tests.kubernetes.fault_stage import ONCE_MORE, Flow, Stage
from tests.kubernetes.lab import faults
from tests.kubernetes.lab.place import Lab

USES_IT = """
    import time
    from distributed import Client
    client = Client()
    print("begun", flush=True)
    def slow(number):
        time.sleep(1)
        return number
    print(sum(client.gather(client.map(slow, range(30)))), flush=True)
    """
FROM_HEAD = (Step.START_HEAD, Step.START_WORKERS, Step.ATTACH_AUTOSCALER)
GROWS = AutoscalePolicy(min_workers=1, max_workers=4, sync_period_s=0.5, scale_on=("demand",))


def worker_of(stage: Stage, flow: Flow) -> str:
    (pod,) = stage.api.list(POD, selector(flow.cluster, "worker")).items
    return str(pod["metadata"]["name"])


@pytest.mark.parametrize(
    ("step", "attempts"),
    [
        *(
            pytest.param(step, 1, marks=pytest.mark.long)
            for step in (*FROM_HEAD, Step.RUN_USER_JOB)
        ),
        (Step.RUN_USER_JOB, 0),
    ],
)
def test_evicted_head_is_an_infrastructure_failure(stage: Stage, step: Step, attempts: int) -> None:
    retry = ONCE_MORE if attempts else RetryPolicy(reasons=())
    spec = stage.counts("headless", 20, "dask", retry=retry)
    evicted = iter([f"{spec.name}-1-head"])

    def evict() -> None:
        for pod in evicted:
            stage.evict(pod)

    ended = Flow(stage, spec, {step: evict}).ended()
    assert ended.attempts == [Reason.EVICTED] * attempts
    assert ended.reason is (None if attempts else Reason.EVICTED)
    assert stage.left() == []


@pytest.mark.long
@pytest.mark.parametrize("step", FROM_HEAD)
def test_worker_that_is_evicted_while_the_cluster_starts_is_replaced(
    stage: Stage, step: Step
) -> None:
    spec = stage.counts("early", 3, "dask")
    labels = selector(ClusterId(f"{spec.name}-1"), "worker")

    def evict() -> None:
        (worker,) = stage.api.list(POD, labels).items
        stage.evict(worker["metadata"]["name"])

    ended = Flow(stage, spec, {step: evict}).ended()
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert stage.left() == []


@pytest.mark.long
def test_evicted_worker_is_replaced_and_its_tasks_are_done(stage: Stage) -> None:
    flow = Flow(stage, stage.runs("moved", USES_IT, "dask"))
    flow.says("begun")
    stage.evict(worker_of(stage, flow))
    ended = flow.ended()
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.stdout == f"begun\n{sum(range(30))}\n"
    assert stage.left() == []


@pytest.mark.long
@pytest.mark.parametrize("registry", [faults.REGISTRY, "127.0.0.1:1"])
def test_image_of_a_cluster_that_cannot_be_pulled_ends_the_run_whatever_may_be_retried(
    lab: Lab, stage: Stage, registry: str
) -> None:
    pool = replace(stage.pool, images={"dask": f"{registry}/nobody:1"})
    there, began_s = replace(stage, pool=pool), now_s()
    with faults.empty_registry(lab):
        ended = Flow(there, there.counts("unpullable", 1, "dask", retry=RetryPolicy())).ended()
    assert ended.reason in (Reason.IMAGE_UNUSABLE, Reason.REGISTRY_SILENT)
    assert (ended.attempts, now_s() - began_s < 60) == ([], True)
    assert f"{registry}/nobody:1" in str(ended.error)
    assert stage.left() == []


@pytest.mark.long
def test_quota_that_is_hit_while_a_cluster_grows_is_said_and_the_run_does_with_fewer(
    stage: Stage, api: client.ApiClient
) -> None:
    """Head, one worker and the program are three."""

    def lower() -> None:
        quota = {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "3"}}}
        client.CoreV1Api(api).create_namespaced_resource_quota(stage.api.namespace, quota)

    spec = stage.runs("few", USES_IT, "dask", policy=GROWS)
    flow = Flow(stage, spec, {Step.RUN_USER_JOB: lower})
    flow.says("begun")
    flow.reaches(lambda: "quota few" in waiting(stage, flow), "it says what it waits for")
    ended = flow.ended()
    assert (ended.error, ended.attempts) == (None, [])
    assert ended.stdout == f"begun\n{sum(range(30))}\n"
    assert stage.left() == []


def waiting(stage: Stage, flow: Flow) -> str:
    """What the run says that it waits for."""
    known = stage.store().cluster(flow.cluster)
    view = known.view if known is not None else None
    return view.waiting.message if view is not None and view.waiting is not None else ""
