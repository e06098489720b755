"""The lab's simulated nodes: pools from zero, the real HPA, many pods."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client

from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.lab import simulated
from tests.kubernetes.lab.place import Lab


@pytest.fixture(scope="module")
def pool(lab: Lab, api: client.ApiClient) -> Iterator[str]:
    """A pool of 8-core machines that begins empty."""
    simulated.make_pool(api, "compute", cores=8, most_nodes=100, boot_s=2)
    yield "compute"
    simulated.delete_pool(api, "compute")


def test_pool_grows_from_zero_and_gives_its_nodes_back(
    api: client.ApiClient, space: str, pool: str
) -> None:
    assert workloads.nodes_of(api, pool) == []
    workloads.deploy(api, space, 2, "5", workloads.on_pool(pool))
    wait_until(lambda: workloads.ready(api, space) == 2, 60, "both pods run")
    assert len(workloads.nodes_of(api, pool)) == 2
    workloads.scale(api, space, 0)
    wait_until(lambda: workloads.nodes_of(api, pool) == [], 90, "the pool is empty again")


def test_pod_without_the_pools_toleration_stays_away(
    api: client.ApiClient, space: str, pool: str
) -> None:
    wrong = workloads.on_pool(pool)
    del wrong["tolerations"]
    workloads.deploy(api, space, 1, "1", wrong)
    core = client.CoreV1Api(api)

    def refused() -> bool:
        return any(
            event.reason == "FailedScheduling" for event in core.list_namespaced_event(space).items
        )

    wait_until(refused, 60, "the scheduler says why")
    assert workloads.ready(api, space) == 0


def test_hpa_grows_and_shrinks_by_what_pods_use(
    api: client.ApiClient, space: str, pool: str
) -> None:
    workloads.deploy(api, space, 1, "1", workloads.on_pool(pool))
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "the first pod runs")
    workloads.autoscale(api, space, most=3)

    def busy_to(count: int) -> bool:
        workloads.uses(api, space, "1")
        return workloads.replicas(api, space) == count

    wait_until(lambda: busy_to(3), 120, "the HPA wants three")

    def idle_to(count: int) -> bool:
        workloads.uses(api, space, "10m")
        return workloads.replicas(api, space) == count

    wait_until(lambda: idle_to(1), 120, "the HPA wants one")


@pytest.mark.long
def test_five_hundred_pods_run(api: client.ApiClient, space: str, pool: str) -> None:
    workloads.deploy(api, space, 500, "100m", workloads.on_pool(pool))
    wait_until(lambda: workloads.ready(api, space) == 500, 240, "500 pods run")
    workloads.scale(api, space, 0)
    wait_until(lambda: workloads.ready(api, space) == 0, 120, "all have gone")
