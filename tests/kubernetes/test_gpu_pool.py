"""Tiers with GPUs: a pool grows from zero by as many nodes as GPUs are asked for, and goes again.

Nodes and GPUs are simulated; scheduler, extended resource, taints and labels are Kubernetes' own.
On the real node GPUs are written into its status: programs run there that ask for them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.steps import attempt_of
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.kinds import POD
from ebbtide.infra.platforms.kubernetes.naming import selector
from ebbtide.infra.platforms.kubernetes.nodes import machines_of
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from tests.clusters import MIB, QUICK, cluster_spec, run_spec, script
from tests.contract.conftest import small
from tests.contract.rig import Rig
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab import first_contact
from tests.kubernetes.lab.place import NODE, Lab
from tests.kubernetes.lab.pools import orders, values
from tests.kubernetes.lab.pools.values import GPU, Pool

GI = 2**30
T4 = Pool("t4", cores=4, memory_gib=16, gpus=1, gpu_type="Tesla-T4", most=3, boot_s=1)
TWO = 2
"""GPUs of the real node."""
ONE_GPU = Resources(500, 256 * MIB, 1)


@pytest.fixture
def pool(lab: Lab, api: client.ApiClient, stage: Stage) -> Iterator[NodePool]:
    """A pool of nodes with a GPU each, of which there is none."""
    orders.set_timers(api, orders.QUICK)
    orders.make_pool(api, T4)
    yield replace(
        stage.pool,
        name=T4.name,
        label=values.POOL_LABEL,
        label_value=T4.name,
        min_nodes=0,
        max_nodes=T4.most,
        node=Resources(4000, 16 * GI, 1),
        capacity=Resources(12_000, 48 * GI, 3),
    )
    orders.delete_pool(api, T4.name)


def nodes(api: client.ApiClient) -> list[Any]:
    found: list[Any] = client.CoreV1Api(api).list_node(label_selector=f"{values.MARK}=t4").items
    return found


def stranger(api: client.ApiClient, node: str) -> None:
    """A pod of another namespace on a node."""
    asks = {"requests": {"cpu": "1500m", "memory": "1Gi"}}
    container = {"name": "web", "image": "nobody.example/web", "resources": asks}
    body = {"metadata": {"name": "web"}, "spec": {"nodeName": node, "containers": [container]}}
    client.CoreV1Api(api).create_namespaced_pod("default", body)


def told_by_nodes(stage: Stage, pool: NodePool, head: str, workers: list[str]) -> None:
    """What ``ebb nodes`` tells: two nodes with a GPU each, on that of the head a stranger too."""
    machines = machines_of(stage.api, [pool])
    held = machines.nodes[pool.name]
    assert sorted(node.used.gpus for node in held) == [1, 1]
    kinds = {(node.capacity.gpus, node.gpu_type, node.instance_type) for node in held}
    assert kinds == {(1, "Tesla-T4", "lab.4x16")}
    found = {node.name: node.others for node in held}[head]
    assert found is not None
    assert (found.count, found.requested) == (1, Resources(1500, GI))
    of_ours = {(each.role, each.node) for each in machines.pods or () if each.node}
    assert of_ours == {("head", head), *(("worker", name) for name in workers)}


def test_pool_grows_from_zero_for_two_workers_with_a_gpu_each_and_goes_again(
    api: client.ApiClient, stage: Stage, pool: NodePool
) -> None:
    small = HardwareTier(name="beside", pool=pool.name, resources=Resources(100, 128 * MIB))
    tier = replace(small, name="t4", resources=ONE_GPU, gpu_type="Tesla-T4", drain_budget_s=1)
    policy = replace(QUICK, min_workers=2)
    cluster = cluster_spec("dask", tier=tier, head_tier=small, pool=pool, policy=policy)
    spec = replace(run_spec("gpus", cluster, lease_s=30), platform="kubernetes")
    assert nodes(api) == []
    store = open_store(stage.settings)
    runs.begin(store, spec)
    attempt = attempt_of(stage.settings, store, spec)
    try:
        steps.request_hardware_tier(attempt)
        steps.wait_for_nodes(attempt)
        pods = stage.api.list(POD, selector(attempt.cluster)).items
        where = {p["metadata"]["labels"]["ebbtide.dev/role"]: p["spec"]["nodeName"] for p in pods}
        workers = [
            p["spec"]["nodeName"] for p in pods if p["spec"]["containers"][0]["name"] == "worker"
        ]
        grown = {node.metadata.name for node in nodes(api)}
        # Two cores would have had room on one node: it is the GPUs that make it two.
        assert len(grown) == len(set(workers)) == 2
        assert where["head"] in grown
        stranger(api, where["head"])
        told_by_nodes(stage, pool, where["head"], workers)
        said = orders.said_of(api, stage.api.namespace)
        grew = [text for reason, text in said if reason == "TriggeredScaleUp"]
        assert any("{t4 0->" in text for text in grew), said
    finally:
        steps.tear_down(attempt, None)
        store.close()
        with contextlib.suppress(ApiException):
            client.CoreV1Api(api).delete_namespaced_pod("web", "default", grace_period_seconds=0)
    assert stage.left() == []
    wait_until(lambda: nodes(api) == [], 60, "the pool is at zero again")


@pytest.fixture
def real_gpus(api: client.ApiClient) -> Iterator[None]:
    """The real node says that it has GPUs, as a device plugin would let it."""
    core, path = client.CoreV1Api(api), GPU.replace("/", "~1")
    there = [{"op": "add", "path": f"/status/capacity/{path}", "value": str(TWO)}]
    core.patch_node_status(NODE, there)
    wait_until(lambda: GPU in core.read_node(NODE).status.allocatable, 30, "the node offers them")
    yield
    core.patch_node_status(NODE, [{"op": "remove", "path": f"/status/capacity/{path}"}])


def test_program_on_a_tier_with_a_gpu_runs_where_there_is_one(
    stage: Stage, real_gpus: None
) -> None:
    spec = stage.counts("counts", 1, retry=RetryPolicy())
    tier = replace(spec.cluster.tier, resources=replace(spec.cluster.tier.resources, gpus=1))
    flow = Flow(stage, replace(spec, cluster=replace(spec.cluster, tier=tier, head_tier=tier)))
    flow.reaches(lambda: stage.pod(flow.driver), "its pod is there")
    pod = stage.pod(flow.driver)
    assert pod is not None
    assert pod["spec"]["containers"][0]["resources"]["limits"][GPU] == "1"
    ended = flow.ended()
    assert ended.error is None, ended.error
    assert ended.counted_once()
    assert stage.left() == []


FINDS_ITS_GPUS = {
    "dask": """
        import socket, threading
        from distributed import Client

        def mine(_):
            threading.Event().wait(1)
            return socket.gethostname()

        client, hosts = Client(), set()
        client.wait_for_workers(2, timeout=120)
        while len(hosts) < 2:
            tasks = client.map(mine, range(4), resources={"GPU": 1}, pure=False)
            hosts |= set(client.gather(tasks))
        offered = [each["resources"] for each in client.scheduler_info()["workers"].values()]
        print(offered, len(hosts))
        """,
    "ray": """
        import os, socket
        import ray

        @ray.remote(num_gpus=1)
        class Holder:
            def mine(self):
                return socket.gethostname(), os.environ["CUDA_VISIBLE_DEVICES"], ray.get_gpu_ids()

        ray.init(log_to_driver=False)
        holders = [Holder.remote() for _ in range(2)]
        found = ray.get([each.mine.remote() for each in holders], timeout=120)
        hosts, *seen = map(list, zip(*found))
        print(ray.cluster_resources()["GPU"], seen, len({*hosts}))
        """,
    "spark": """
        import socket, threading
        from pyspark import TaskContext
        from pyspark.sql import SparkSession

        builder = SparkSession.builder.config("spark.task.resource.gpu.amount", "1")
        context, seen = builder.getOrCreate().sparkContext, set()

        def mine(_):
            threading.Event().wait(1)
            yield socket.gethostname(), tuple(TaskContext.get().resources()["gpu"].addresses)

        while len(seen) < 2:  # until both executors have come
            seen |= set(context.parallelize(range(4), 4).mapPartitions(mine).collect())
        amount = context.getConf().get("spark.executor.resource.gpu.amount")
        print(amount, [addresses for _, addresses in seen], len({host for host, _ in seen}))
        """,
}
THEY_FIND = {
    "dask": "[{'GPU': 1}, {'GPU': 1}] 2\n",
    "ray": "2.0 [['0', '0'], [[0], [0]]] 2\n",
    "spark": "1 [('0',), ('0',)] 2\n",
}
"""Two workers, on each its own first GPU."""


@pytest.fixture
def real_pool_with_gpus(api: client.ApiClient, real_gpus: None, rig: Rig) -> Iterator[Rig]:
    """The real node is the one machine of a pool, which it is not in now."""
    core = client.CoreV1Api(api)
    before = core.read_node(NODE)
    machine = first_contact.pool_of(before.status.allocatable)
    pool = replace(machine, name=T4.name, gpus=TWO, boot_s=1)
    orders.set_timers(api, orders.QUICK)
    orders.make_pool(api, pool)
    assert rig.pool is not None
    grows = replace(rig.pool, name=T4.name, label=pool.label, label_value=pool.name)
    node = Resources(1000 * pool.cores, pool.memory_gib * GI, TWO)
    yield replace(rig, pool=replace(grows, min_nodes=0, max_nodes=1, node=node, capacity=node))

    def left() -> bool:
        now = core.read_node(NODE)
        return bool(now.metadata.labels == before.metadata.labels and not now.spec.taints)

    wait_until(left, 60, "the pool is at zero")
    orders.delete_pool(api, pool.name)


@pytest.mark.long
@pytest.mark.parametrize("framework", ["dask", "ray", "spark"])
def test_program_finds_a_gpu_on_each_worker_in_a_pool_that_grows_for_it_from_zero(
    real_pool_with_gpus: Rig, api: client.ApiClient, framework: str, tmp_path: Path
) -> None:
    rig, cluster = real_pool_with_gpus, small(framework)
    offers = replace(cluster.tier, name="t4", pool=T4.name)
    tier = replace(offers, resources=replace(offers.resources, gpus=1))
    policy = replace(cluster.policy, min_workers=2, max_workers=2)
    head = replace(cluster.head_tier, pool=T4.name)
    cluster = replace(cluster, tier=tier, head_tier=head, policy=policy)
    program = script(tmp_path, FINDS_ITS_GPUS[framework])
    outcome = rig.carried_out(rig.run(f"gpus-{framework}", cluster, program))
    assert outcome.error is None, outcome.errors()
    assert outcome.output() == THEY_FIND[framework]
    said = orders.said_of(api, rig.settings.namespace)
    assert any("{t4 0->1 (max: 1)}" in text for _, text in said), said
