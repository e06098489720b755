"""A cluster's own objects on a real node: they are made, work together, and go with their Lease."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from kubernetes import client, utils

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.manifests import cluster
from ebbtide.infra.platforms.kubernetes.manifests.pods import Machine
from tests.clusters import MIB, QUICK, run_spec
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.simulated import POOL_LABEL

ASKS = """
from distributed import Client
client = Client()
client.wait_for_workers(2, timeout=120)
print(sum(client.gather(client.map(abs, range(-9, 1)))))
"""
POOL = "real"
TIER = HardwareTier(name="tiny", pool=POOL, resources=Resources(200, 400 * MIB), drain_budget_s=20)


def spec_of(argv: tuple[str, ...]) -> RunSpec:
    pool = NodePool(name=POOL, platform="kubernetes", capacity=Resources(4000, 8192 * MIB))
    policy = replace(QUICK, min_workers=2)
    asked = ClusterSpec(framework="dask", tier=TIER, head_tier=TIER, pool=pool, policy=policy)
    return replace(run_spec("pods", asked), job=JobSpec(argv=argv, workdir="/"), tags=("nightly",))


@pytest.fixture
def pool(api: client.ApiClient) -> Iterator[str]:
    """The real node as the only one of a pool."""
    core = client.CoreV1Api(api)
    for label in (POOL, None):
        core.patch_node(NODE, {"metadata": {"labels": {POOL_LABEL: label}}})
        if label:
            yield label


def apply(api: client.ApiClient, thing: dict[str, Any]) -> dict[str, Any]:
    made = utils.create_from_dict(api, thing)
    found: dict[str, Any] = api.sanitize_for_serialization(made[0])
    return found


def test_dask_job_runs_on_pods_of_its_own_and_all_go_with_the_lease(
    api: client.ApiClient, guarded: str, image: Image, pool: str
) -> None:
    """In a namespace that enforces Pod Security ``restricted``."""
    core = client.CoreV1Api(api)
    spec = spec_of((str(layout.paths().python), "-c", ASKS))
    plan = ClusterPlan(cluster=ClusterId("pods-1"), spec=spec.cluster, paths=layout.paths())
    framework = load_framework("dask")
    machine = Machine(image=image("dask"), selector={POOL_LABEL: POOL}, pull_policy="Never")
    place = cluster.Place(namespace=guarded, machine=machine)
    lease, *rest = cluster.objects(spec, plan, framework, framework.prepare(plan), place)
    owner = apply(api, lease)
    rest += [cluster.autoscaler(spec, plan.cluster, place)]
    rest += [cluster.driver(spec, plan, framework, place)]
    for thing in rest:
        apply(api, cluster.owned(thing, owner))

    def ended() -> str:
        phase = core.read_namespaced_pod("pods-1-driver", guarded).status.phase
        return str(phase) if phase in ("Succeeded", "Failed") else ""

    phase = wait_until(ended, 180, "the program ends")
    assert core.read_namespaced_pod_log("pods-1-driver", guarded) == "45\n"
    assert phase == "Succeeded"
    deployment = client.AppsV1Api(api).read_namespaced_deployment("pods-1-worker", guarded)
    assert deployment.status.ready_replicas == 2
    client.CoordinationV1Api(api).delete_namespaced_lease("pods-1", guarded)
    wait_until(lambda: left(api, guarded) == [], 120, "everything went with the Lease")


def left(api: client.ApiClient, space: str) -> list[str]:
    """Names of what is left of any cluster."""
    core, selector = client.CoreV1Api(api), "app.kubernetes.io/managed-by=ebb"
    lists = (
        core.list_namespaced_pod,
        core.list_namespaced_secret,
        core.list_namespaced_config_map,
        core.list_namespaced_service,
        client.AppsV1Api(api).list_namespaced_deployment,
        client.AutoscalingV2Api(api).list_namespaced_horizontal_pod_autoscaler,
        client.NetworkingV1Api(api).list_namespaced_network_policy,
        client.PolicyV1Api(api).list_namespaced_pod_disruption_budget,
    )
    return [
        thing.metadata.name for ask in lists for thing in ask(space, label_selector=selector).items
    ]
