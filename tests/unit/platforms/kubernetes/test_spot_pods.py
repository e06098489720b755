"""Pods of spot tiers: where they go, how long they may take to end, and what their loss means."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.models.hardware import HardwareTier, NodePool, Taint
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import SPOT
from ebbtide.infra.platforms.kubernetes.reading.failures import disruption
from tests.clusters import TIER, cluster_spec, run_spec
from tests.unit.platforms.reading.objects import disrupted, running

LABEL = {"karpenter.sh/capacity-type": "spot"}
POOL = NodePool(
    name="cpu",
    platform="kubernetes",
    capacity=Resources(32_000, 128 * 2**30),
    images={"*": "ebb:1"},
    spot_label=LABEL,
    spot_taints=(Taint(key="spot", value="yes"),),
)
FIRM = replace(TIER, name="firm", pool="cpu")
CHEAP = replace(FIRM, name="cheap", notice_s=120.0, drain_budget_s=85.0)
TOLERATES = {"key": "spot", "operator": "Equal", "value": "yes"}


def pods(tier: HardwareTier, head: HardwareTier, pool: NodePool = POOL) -> dict[str, Any]:
    """The pods of a cluster by their role."""
    spec = run_spec("heron", cluster_spec("dask", tier=tier, head_tier=head, pool=pool))
    made = Blueprint.of(replace(spec, platform="kubernetes"), ClusterId("heron-1"), "team", "")
    kinds = {each["kind"]: each for each in made.objects()}
    return {"head": kinds["Pod"], "worker": kinds["Deployment"]["spec"]["template"]}


def keeps_off(pod: Object) -> bool:
    """Whether it goes to no spot node."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    (label,) = LABEL
    expression = {"key": label, "operator": "NotIn", "values": ["spot"]}
    return bool(required == {"nodeSelectorTerms": [{"matchExpressions": [expression]}]})


def test_workers_of_a_spot_tier_go_to_spot_nodes_and_its_head_to_none() -> None:
    found = pods(CHEAP, FIRM)
    worker, head = found["worker"], found["head"]
    assert worker["spec"]["nodeSelector"] == {**POOL.selector, **LABEL}
    assert TOLERATES in worker["spec"]["tolerations"]
    assert not keeps_off(worker)
    assert head["spec"]["nodeSelector"] == POOL.selector
    assert TOLERATES not in head["spec"]["tolerations"]
    assert keeps_off(head)
    assert (SPOT in worker["metadata"]["annotations"], SPOT in head["metadata"]["annotations"]) == (
        True,
        False,
    )


def test_pool_without_spot_nodes_makes_no_difference() -> None:
    found = pods(FIRM, FIRM, replace(POOL, spot_label={}, spot_taints=()))
    assert not any("affinity" in pod["spec"] for pod in found.values())


def test_all_pods_of_a_pool_of_spot_nodes_alone_tolerate_their_taints_once() -> None:
    pool = replace(POOL, spot=True, spot_label={})
    assert TOLERATES in pool.tolerations
    assert TOLERATES not in POOL.tolerations
    found = pods(CHEAP, CHEAP, pool)
    assert [pod["spec"]["tolerations"].count(TOLERATES) for pod in found.values()] == [1, 1]


@pytest.mark.parametrize(("notice_s", "grace_s"), [(120.0, 120), (20.0, 20), (3600.0, 120)])
def test_worker_ends_within_the_notice(notice_s: float, grace_s: int) -> None:
    worker = pods(replace(CHEAP, notice_s=notice_s), FIRM)["worker"]
    assert worker["spec"]["terminationGracePeriodSeconds"] == grace_s


def on_spot(pod: Object) -> Object:
    """The same on a node that may be taken away."""
    annotations = {**pod["metadata"].get("annotations", {}), SPOT: "true"}
    return {**pod, "metadata": {**pod["metadata"], "annotations": annotations}}


@pytest.mark.parametrize(
    ("why", "usual", "spot"),
    [
        ("EvictionByEvictionAPI", Reason.EVICTED, Reason.RECLAIMED),
        ("DeletionByTaintManager", Reason.NODE_LOST, Reason.RECLAIMED),
        ("DeletionByPodGC", Reason.NODE_LOST, Reason.RECLAIMED),
    ],
)
def test_what_takes_a_pod_from_a_spot_node_is_told_as_reclaimed(
    why: str, usual: Reason, spot: Reason
) -> None:
    pod = disrupted(running("worker-a"), why)
    there, elsewhere = disruption(on_spot(pod)), disruption(pod)
    assert there is not None
    assert elsewhere is not None
    assert (elsewhere.told, there.told) == (usual, spot)
    assert there.sentence == f"its spot node is taken away: {elsewhere.sentence}"
    assert there.reason is elsewhere.reason


@pytest.mark.parametrize(
    ("why", "message", "reason"),
    [
        ("PreemptionByScheduler", "", Reason.EVICTED),
        ("TerminationByKubelet", "The node was low on resource: memory.", Reason.EVICTED),
        ("TerminationByKubelet", "in response to imminent node shutdown", Reason.RECLAIMED),
    ],
)
def test_pod_that_makes_room_is_not_and_one_of_a_node_that_shuts_down_is(
    why: str, message: str, reason: Reason
) -> None:
    found = disruption(on_spot(disrupted(running("worker-a"), why, message)))
    assert found is not None
    assert found.told is reason
