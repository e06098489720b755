"""GPUs of a tier on Kubernetes: what pods ask for, what nodes have, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.clusters import TIER, cluster_spec, run_spec
from tests.unit.platforms.reading.objects import event, snapshot, unschedulable

GI = 2**30
RESOURCE = "nvidia.com/gpu"
POOL = NodePool(
    name="gpu",
    platform="kubernetes",
    capacity=Resources(32_000, 128 * GI, 8),
    images={"*": "ebb:1"},
)
T4 = replace(
    TIER, name="t4", pool="gpu", resources=replace(TIER.resources, gpus=2), gpu_type="Tesla-T4"
)
PLAIN = replace(TIER, pool="gpu")


def pods(pool: NodePool = POOL) -> dict[str, Any]:
    """The pods' specifications of a cluster whose workers have GPUs, by their role."""
    spec = run_spec("heron", cluster_spec("dask", tier=T4, head_tier=PLAIN, pool=pool))
    made = Blueprint.of(replace(spec, platform="kubernetes"), ClusterId("heron-1"), "team", "")
    kinds = {each["kind"]: each for each in made.objects()}
    return {
        "head": kinds["Pod"]["spec"],
        "worker": kinds["Deployment"]["spec"]["template"]["spec"],
    }


def test_a_worker_asks_for_its_gpus_as_request_and_limit() -> None:
    asked = pods()["worker"]["containers"][0]["resources"]
    assert asked["requests"][RESOURCE] == asked["limits"][RESOURCE] == "2"


def test_a_worker_goes_to_nodes_of_its_type_and_a_head_without_gpus_to_any() -> None:
    found = pods()
    assert found["worker"]["nodeSelector"]["nvidia.com/gpu.product"] == "Tesla-T4"
    assert found["head"]["nodeSelector"] == POOL.selector
    assert RESOURCE not in found["head"]["containers"][0]["resources"]["requests"]


def test_all_pods_of_the_pool_tolerate_the_taint_of_its_nodes() -> None:
    taint = {"key": RESOURCE, "operator": "Exists"}
    assert [taint in each["tolerations"] for each in pods().values()] == [True, True]


def test_resource_and_label_are_the_pools() -> None:
    worker = pods(replace(POOL, gpu_resource="amd.com/gpu", gpu_label="amd/type"))["worker"]
    asked = worker["containers"][0]["resources"]
    assert asked["limits"]["amd.com/gpu"] == "2"
    assert RESOURCE not in asked["requests"]
    assert worker["nodeSelector"]["amd/type"] == "Tesla-T4"
    assert {"key": "amd.com/gpu", "operator": "Exists"} in worker["tolerations"]


FEW = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available."
NEVER = "pod didn't trigger scale-up: 1 Insufficient nvidia.com/gpu"


def test_gpus_that_no_node_ever_has_are_named_and_a_tier_with_fewer() -> None:
    one = replace(T4, name="one", resources=replace(T4.resources, gpus=1))
    cluster = cluster_spec("dask", tier=T4, head_tier=T4, pool=POOL, choice=(one, T4))
    head = unschedulable("head", FEW)
    told = snapshot(head, events=(event(head, "NotTriggerScaleUp", NEVER, 5),))
    failure = view_of(told, run_spec("heron", cluster), None).failure
    assert failure is not None
    assert failure.reason is Reason.TIER_EXCEEDS_POOL
    assert "a fresh one has too little nvidia.com/gpu beside its daemons" in failure.detail
    assert failure.hint == "--head-tier one (0.25 CPU, 600 MiB, 1 GPU)"


def test_gpus_that_are_held_are_waited_for() -> None:
    cluster = cluster_spec("dask", tier=T4, head_tier=T4, pool=POOL)
    found = view_of(snapshot(unschedulable("head", FEW)), run_spec("heron", cluster), None)
    assert found.failure is None
    assert found.waiting is not None
    assert "1 Insufficient nvidia.com/gpu" in found.waiting.message
