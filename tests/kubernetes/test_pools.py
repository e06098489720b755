"""The pool controller on the lab: what the product sees of Cluster Autoscaler, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client

from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.lab import first_contact, parts, simulated
from tests.kubernetes.lab.place import NODE, Lab
from tests.kubernetes.lab.pools import orders, values
from tests.kubernetes.lab.pools.orders import QUICK
from tests.kubernetes.lab.pools.values import CANDIDATE, NO_BOOT, Pool

SMALL = Pool("small", cores=4, memory_gib=16, most=2, boot_s=1)


@pytest.fixture(autouse=True)
def quick(lab: Lab, api: client.ApiClient) -> Iterator[None]:
    """An empty pool of two small nodes at most, and timers of seconds."""
    orders.set_timers(api, QUICK)
    orders.make_pool(api, SMALL)
    yield
    orders.delete_pool(api, SMALL.name)


def deploy(api: client.ApiClient, space: str, replicas: int, cpu: str) -> None:
    workloads.deploy(api, space, replicas, cpu, {"nodeSelector": {values.POOL_LABEL: SMALL.name}})


def nodes(api: client.ApiClient) -> list[client.V1Node]:
    selector = f"{values.POOL_LABEL}={SMALL.name}"
    found: list[client.V1Node] = client.CoreV1Api(api).list_node(label_selector=selector).items
    return found


def readiness(api: client.ApiClient) -> list[str]:
    """What each node of the pool says of its readiness."""
    conditions = [each for node in nodes(api) for each in node.status.conditions or ()]
    return [each.status for each in conditions if each.type == "Ready"]


def runs(api: client.ApiClient, space: str, replicas: int) -> None:
    wait_until(lambda: workloads.ready(api, space) == replicas, 60, f"{replicas} pods run")


def said(api: client.ApiClient, space: str, reason: str) -> Callable[[], list[str]]:
    """A probe for what the autoscaler says with this reason."""
    return lambda: [text for why, text in orders.said_of(api, space) if why == reason]


def scale_up(api: client.ApiClient) -> dict[str, Any]:
    found: dict[str, Any] = orders.status_of(api, SMALL.name).get("scaleUp", {})
    return found


def test_pool_grows_from_zero_for_pending_pods(api: client.ApiClient, space: str) -> None:
    deploy(api, space, 2, "3")
    runs(api, space, 2)
    told = [each.split()[-3] for each in said(api, space, "TriggeredScaleUp")()]
    assert told in (["0->2", "0->2"], ["0->1", "1->2"]), "the pods may come between two looks"
    assert len(nodes(api)) == 2


def test_node_appears_not_ready_and_becomes_ready(api: client.ApiClient, space: str) -> None:
    orders.make_pool(api, replace(SMALL, boot_s=4))
    deploy(api, space, 1, "1")
    wait_until(lambda: readiness(api) == ["False"], 30, "the node is there and not ready")
    assert scale_up(api)["status"] == "InProgress"
    wait_until(lambda: readiness(api) == ["True"], 30, "it is ready")
    (node,) = nodes(api)
    assert time.time() >= float(node.metadata.annotations[values.READY_AT])
    runs(api, space, 1)


def test_unneeded_node_is_marked_and_goes_when_its_time_is_up(
    api: client.ApiClient, space: str
) -> None:
    orders.set_timers(api, replace(QUICK, unneeded_s=600))
    deploy(api, space, 1, "1")
    runs(api, space, 1)
    workloads.scale(api, space, 0)

    def marked() -> bool:
        (node,) = nodes(api)
        status = orders.status_of(api, SMALL.name)["scaleDown"]
        taints = [taint.key for taint in node.spec.taints or ()]
        return CANDIDATE in taints and status["status"] == "CandidatesPresent"

    wait_until(marked, 30, "the node is a candidate")
    orders.set_timers(api, QUICK)
    wait_until(lambda: not nodes(api), 30, "it is gone")


def test_node_is_drained_onto_another_before_it_goes(api: client.ApiClient, space: str) -> None:
    deploy(api, space, 3, "1500m")
    runs(api, space, 3)
    workloads.scale(api, space, 2)
    wait_until(lambda: len(nodes(api)) == 1, 60, "one node is enough")
    assert said(api, space, "ScaleDown")() == ["deleting pod for node scale down"]
    runs(api, space, 2)


def test_pod_beyond_the_maximum_is_told_so(api: client.ApiClient, space: str) -> None:
    deploy(api, space, 3, "3")
    refused = wait_until(said(api, space, "NotTriggerScaleUp"), 60, "one pod is too many")
    assert refused == ["pod didn't trigger scale-up: 1 max node group size reached"]
    assert len(nodes(api)) == SMALL.most


@pytest.mark.parametrize("code", [orders.OUT_OF_RESOURCES, orders.QUOTA_EXCEEDED])
def test_stock_out_backs_off_with_its_code_and_passes(
    api: client.ApiClient, space: str, code: str
) -> None:
    with orders.failing(api, SMALL, code):
        deploy(api, space, 1, "1")
        wait_until(lambda: scale_up(api).get("status") == "Backoff", 30, "the pool is left alone")
        assert scale_up(api)["backoffInfo"]["errorCode"] == code
        told = wait_until(said(api, space, "NotTriggerScaleUp"), 30, "the pod is told")
        assert told == ["pod didn't trigger scale-up: 1 in backoff after failed scale-up"]
    runs(api, space, 1)


def test_machines_that_never_boot_time_out(api: client.ApiClient, space: str) -> None:
    with orders.failing(api, SMALL, NO_BOOT):
        deploy(api, space, 1, "1")
        wait_until(said(api, space, "TriggeredScaleUp"), 30, "the pool grows")
        wait_until(lambda: scale_up(api).get("status") == "Backoff", 30, "it gives up")
        assert scale_up(api)["backoffInfo"]["errorCode"] == "timeout"
    runs(api, space, 1)


def test_restarted_controller_keeps_its_nodes(lab: Lab, api: client.ApiClient, space: str) -> None:
    deploy(api, space, 1, "3")
    runs(api, space, 1)
    (kept,) = [node.metadata.name for node in nodes(api)]
    parts.kill(lab, "pool-controller")
    simulated.start(lab)
    workloads.scale(api, space, 2)
    runs(api, space, 2)
    assert kept in [node.metadata.name for node in nodes(api)]
    assert orders.status_of(api, SMALL.name)["health"]["cloudProviderTarget"] == 2


def test_real_node_joins_a_pool_for_a_pod_and_leaves_it_again(
    api: client.ApiClient, space: str
) -> None:
    """As `make lab` has it: what runs there is a container, and nothing is simulated."""
    core = client.CoreV1Api(api)
    before = core.read_node(NODE)
    pool = replace(first_contact.pool_of(before.status.allocatable), boot_s=1)
    orders.make_pool(api, pool)
    on_it = {"nodeSelector": {values.POOL_LABEL: pool.name}, **workloads.runs("sleep 3600")}
    workloads.deploy(api, space, 1, "100m", on_it)
    runs(api, space, 1)
    assert {pod.spec.node_name for pod in workloads.pods(api, space)} == {NODE}
    workloads.scale(api, space, 0)
    labels = before.metadata.labels
    wait_until(lambda: core.read_node(NODE).metadata.labels == labels, 60, "it has left")
    assert core.read_node(NODE).spec.taints is None
    orders.delete_pool(api, pool.name)
