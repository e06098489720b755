"""What a run says while it has no node, and that it ends by itself when none can come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import Limits, RetryPolicy, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import LEASE, POD, RESOURCE_QUOTA
from ebbtide.infra.platforms.kubernetes.naming import ROLE, selector
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from ebbtide.infra.platforms.kubernetes.reading.watching import watched
from tests.clusters import MIB
from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.fault_stage import Ended, Flow, Stage
from tests.kubernetes.fault_stage import ended as so_far
from tests.kubernetes.lab import faults, simulated
from tests.kubernetes.lab.place import Lab
from tests.kubernetes.lab.pools import orders, values
from tests.kubernetes.lab.pools.values import NO_BOOT, Pool
from tests.unit.platforms.reading import objects

TWO_CORES = Pool("tight", cores=2, memory_gib=8, most=2, boot_s=1)
GI = 2**30
LIMITS = Limits(start_within_s=45)
"""So long a test that fails may take."""


@pytest.fixture
def tight(lab: Lab, api: client.ApiClient, stage: Stage) -> Iterator[Stage]:
    """A stage whose pool an autoscaler grows from zero, by nodes of two cores."""
    orders.set_timers(api, orders.QUICK)
    orders.make_pool(api, TWO_CORES)
    label: dict[str, Any] = {"label": values.POOL_LABEL, "label_value": TWO_CORES.name}
    yield replace(stage, pool=replace(stage.pool, min_nodes=0, max_nodes=2, **label))
    orders.delete_pool(api, TWO_CORES.name)


def asks(stage: Stage, cpu_millis: int) -> RunSpec:
    """A plain program whose tier has so much CPU, with a smaller tier to choose."""
    spec = stage.counts("asks", 1, cpu_millis=cpu_millis, retry=RetryPolicy(), limits=LIMITS)
    small = HardwareTier(name="small", pool=stage.pool.name, resources=Resources(1000, 64 * MIB))
    tier = replace(spec.cluster.tier, name="full")
    return replace(spec, cluster=replace(spec.cluster, tier=tier, choice=(small, tier)))


def can_never_fit(ended: Ended) -> None:
    assert (ended.reason, ended.attempts) == (Reason.TIER_EXCEEDS_POOL, [])
    assert "tier full" in str(ended.error)
    assert ended.error is not None
    assert ended.error.hint == "--tier small (1 CPU, 64 MiB)"


def test_tier_that_fills_a_node_is_refused_by_the_size_that_the_catalog_has(stage: Stage) -> None:
    """Nobody else knows: on this node its program would wait beside what it does not fit with."""
    node = Resources(2000, 8 * GI)
    known = replace(stage, pool=replace(stage.pool, node=node))
    can_never_fit(Flow(known, asks(known, 2000)).ended())
    assert stage.left() == []


def test_tier_that_fills_a_node_is_refused_by_the_autoscaler(tight: Stage) -> None:
    can_never_fit(Flow(tight, asks(tight, 2000)).ended())
    assert tight.left() == []


def test_node_that_does_not_come_is_given_up_after_the_pools_own_time(
    api: client.ApiClient, tight: Stage
) -> None:
    there = replace(tight, pool=replace(tight.pool, node_within_s=6))
    with orders.failing(api, TWO_CORES, NO_BOOT):
        ended = Flow(there, asks(there, 100)).ended()
    assert (ended.reason, ended.attempts) == (Reason.NO_NODE, [])
    assert "pool test grows 0 → 1; given up after 6.0s" in str(ended.error)


def test_pool_that_nobody_grows_is_given_up_after_its_own_time(lab: Lab, stage: Stage) -> None:
    """It is said to grow, its node is too small, and no autoscaler says a word of it."""
    more = 1000 * (os.cpu_count() or 1)
    there = replace(stage, pool=replace(stage.pool, min_nodes=0, max_nodes=2, node_within_s=6))
    with faults.stopped(lab, "karpenter"):
        ended = Flow(there, asks(there, more)).ended()
    assert (ended.reason, ended.attempts) == (Reason.NO_NODE, []), ended.error
    assert "no node of pool test has room, and nobody says to make one" in str(ended.error)
    assert "given up after 6.0s" in str(ended.error)
    assert ended.error is not None
    assert "whether an autoscaler runs and knows the pool" in ended.error.hint
    assert stage.left() == []


def test_program_waits_in_turn_for_a_quota_that_others_use_up(stage: Stage) -> None:
    spec = {"containers": [{"name": "other", "image": "none"}], "nodeSelector": {"no": "node"}}
    pod = {"apiVersion": POD.api, "kind": POD.name, "metadata": {"name": "other"}}
    stage.api.create({**pod, "spec": workloads.harmless(spec)})
    named = {"apiVersion": RESOURCE_QUOTA.api, "kind": RESOURCE_QUOTA.name}
    hard = {"hard": {"pods": "1"}}
    stage.api.create({**named, "metadata": {"name": "team"}, "spec": hard})

    def used() -> object:
        return (stage.api.get(RESOURCE_QUOTA, "team") or {}).get("status", {}).get("used")

    wait_until(lambda: used() == {"pods": "1"}, 30, "the quota is used up")
    flow = Flow(stage, stage.counts("queued", 1, retry=RetryPolicy()))

    def told() -> list[str]:
        return [
            e.message for e in so_far(stage, flow.spec, None).events if e.reason is Reason.QUOTA
        ]

    flow.reaches(told, "it says that it waits")
    assert told() == ["quota team is used up: 1 of 1 pods in use, pods=1 asked"]
    stage.api.delete(POD, "other")
    ended = flow.ended()
    assert (ended.error, ended.attempts) == (None, [])
    assert stage.left() == []


def on_each(tight: Stage, wide: NodePool, name: str) -> RunSpec:
    """A plain program that asks for the tight pool first, and then for another."""
    spec = asks(replace(tight, pool=replace(tight.pool, name=TWO_CORES.name)), 100)
    tier = replace(spec.cluster.tier, name="wide", pool=wide.name)
    other = replace(spec.cluster, tier=tier, head_tier=tier, pool=wide)
    return replace(spec, name=RunName(name), next_tiers=(other,))


def test_next_tier_is_taken_when_the_first_is_out_of_stock(
    api: client.ApiClient, tight: Stage, stage: Stage
) -> None:
    """The second pool is the lab's real node, on which the program then runs."""
    spec = on_each(tight, stage.pool, "listed")
    with orders.failing(api, TWO_CORES, orders.OUT_OF_RESOURCES):
        ended = Flow(tight, spec).ended()
    assert ended.error is None, ended.error
    assert ended.counted_once()
    assert ended.attempts == [Reason.OUT_OF_STOCK]
    assert ended.run is not None
    run = ended.run.spec
    assert (run.cluster.tier.name, run.next_tiers) == ("wide", ())
    (left,) = run.passed_over
    assert (left.tier, left.reason) == ("full", Reason.OUT_OF_STOCK)
    # With the cloud's own code where the autoscaler's status names it in time.
    assert "pool tight could not grow" in left.why
    (told,) = [event for event in ended.events if event.kind is EventKind.ATTEMPT]
    assert told.message == f"tier full: {left.why}; the next tier is wide"
    assert stage.left() == []


@pytest.fixture
def boots(lab: Lab, api: client.ApiClient) -> Iterator[str]:
    """A pool of Karpenter's whose machines take longer to boot than the test."""
    simulated.make_pool(api, "boots", cores=2, most_nodes=1, boot_s=60)
    yield "boots"
    simulated.delete_pool(api, "boots")


def test_machine_that_karpenter_has_ordered_is_told_by_how_far_it_is(here: Api, boots: str) -> None:
    metadata: dict[str, Any] = {"labels": {**selector(objects.CLUSTER), ROLE: "head"}}
    lease = {"apiVersion": LEASE.api, "kind": LEASE.name, "spec": {"leaseDurationSeconds": 30}}
    here.create({**lease, "metadata": {**metadata, "name": objects.CLUSTER}})
    spec = {
        "containers": [{"name": "head", "image": "none", "resources": {"requests": {"cpu": "1"}}}],
        "nodeSelector": {simulated.POOL_LABEL: boots},
        "tolerations": [{"key": simulated.POOL_LABEL, "operator": "Exists"}],
    }
    name = f"{objects.CLUSTER}-head"
    pod = {"apiVersion": POD.api, "kind": POD.name, "spec": workloads.harmless(spec)}
    here.create({**pod, "metadata": {**metadata, "name": name}})
    with watched(here, objects.CLUSTER) as watch:

        def said() -> bool:
            view = view_of(watch.current(30) or objects.snapshot(), objects.spec(), None)
            waits = view.waiting.message if view.waiting else ""
            return "head: pool compute grows by a node (boots-" in waits and (
                "): the cloud has not given its machine yet" in waits
                or "): its machine has not joined the cluster yet" in waits
            )

        wait_until(said, 60, "the claim is read")
    here.delete(POD, name)
