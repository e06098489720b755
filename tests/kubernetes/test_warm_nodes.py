"""Warm nodes: up before anybody asks, taken at once, and made good again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml
from kubernetes import client

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.phases import Step
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.administration.manifests import manifests
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.naming import PLACEHOLDER
from ebbtide.infra.waiting import now_s
from tests.clusters import MIB
from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab.deployed import apply
from tests.kubernetes.lab.place import NODE, Lab
from tests.kubernetes.lab.pools import orders, values
from tests.kubernetes.lab.pools.values import Pool
from tests.kubernetes.workloads import most_of_the_node

GI = 2**30
MACHINES = Pool("warmed", cores=4, memory_gib=16, most=2, boot_s=1)
SLOW_S = 20.0
POOL = NodePool(
    name=MACHINES.name,
    platform="kubernetes",
    capacity=Resources(8000, 32 * GI),
    node=Resources(4000, 16 * GI),
    max_nodes=2,
    warm=1,
    label=values.POOL_LABEL,
    images={"none": "no/image:1"},
)


@pytest.fixture
def quick(lab: Lab, api: client.ApiClient) -> Iterator[None]:
    """A pool of no node, and timers of seconds."""
    orders.set_timers(api, orders.QUICK)
    orders.make_pool(api, MACHINES)
    yield
    orders.delete_pool(api, MACHINES.name)


@pytest.fixture(autouse=True)
def without_a_class(api: client.ApiClient) -> Iterator[None]:
    """It is of no namespace, so that nothing else takes it away."""
    yield
    client.SchedulingV1Api(api).delete_priority_class(PLACEHOLDER)


def nodes(api: client.ApiClient) -> set[str]:
    selector = f"{values.POOL_LABEL}={MACHINES.name}"
    found = client.CoreV1Api(api).list_node(label_selector=selector).items
    return {node.metadata.name for node in found}


def placeholders_run_on(api: client.ApiClient, space: str) -> list[str]:
    core, selector = client.CoreV1Api(api), f"app.kubernetes.io/name={PLACEHOLDER}"
    found = core.list_namespaced_pod(space, label_selector=selector).items
    return [pod.spec.node_name for pod in found if pod.status.phase == "Running"]


@pytest.mark.usefixtures("quick")
def test_warm_node_is_up_before_anybody_asks_is_taken_at_once_and_made_good_again(
    api: client.ApiClient, here: Api, guarded: str
) -> None:
    for thing in yaml.safe_load_all(manifests("warm", [POOL])):
        apply(here, thing)
    wait_until(lambda: placeholders_run_on(api, guarded), 60, "a placeholder holds a node")
    (warm,) = nodes(api)

    orders.make_pool(api, replace(MACHINES, boot_s=SLOW_S))
    began_s = now_s()
    where = {"nodeSelector": {values.POOL_LABEL: MACHINES.name}}
    workloads.deploy(api, guarded, 1, "1", where)
    wait_until(lambda: workloads.ready(api, guarded) == 1, 60, "the pod runs")
    assert now_s() - began_s < SLOW_S / 2
    assert nodes(api) == {warm}

    orders.make_pool(api, MACHINES)
    wait_until(lambda: set(placeholders_run_on(api, guarded)) - {warm}, 90, "another is warm")
    workloads.scale(api, guarded, 0)
    wait_until(lambda: len(nodes(api)) == 1, 60, "the node that nobody needs has gone")
    assert set(placeholders_run_on(api, guarded)) == nodes(api)


@pytest.mark.long
def test_run_takes_the_real_node_of_a_placeholder_which_runs_there_from_the_pools_images(
    stage: Stage, api: client.ApiClient, guarded: str
) -> None:
    large = most_of_the_node(api)
    pool = replace(stage.pool, node=Resources(large, 64 * MIB), max_nodes=1, warm=1)
    for thing in yaml.safe_load_all(manifests("warm", [pool])):
        apply(stage.api, thing)
    wait_until(lambda: placeholders_run_on(api, guarded) == [NODE], 60, "it holds the node")
    spec = stage.counts("taker", 1, cpu_millis=large)
    ended = Flow(stage, spec, {Step.TEAR_DOWN: lambda: unplaced(api, guarded)}).ended()
    assert (ended.error, ended.started) == (None, 1)
    assert ended.counted_once()
    assert stage.left() == []
    wait_until(lambda: placeholders_run_on(api, guarded) == [NODE], 60, "it holds the node again")


def unplaced(api: client.ApiClient, space: str) -> None:
    """While a run has its node, it holds none."""
    assert placeholders_run_on(api, space) == []
