"""GPUs of this machine are handed out: each worker sees its own, and its framework counts them.

The machine of the tests has none, so that the pool is given two names in their place: what is
found out of NVML is in ``tests/unit/request/test_gpus_here.py``. All else is real.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.resources import Resources
from tests.clusters import POOL, TIER, Outcome, carried_out, cluster_spec, run_spec, script
from tests.contract.conftest import small

TWO = ("GPU-aaaaaaaa-0000", "GPU-bbbbbbbb-1111")
ONE_EACH = "GPU-aaaaaaaa-0000 GPU-bbbbbbbb-1111"


def with_gpus(cluster: ClusterSpec, min_workers: int, max_workers: int) -> ClusterSpec:
    """A cluster whose workers have a GPU each, of the two that the machine hands out."""
    pool = replace(cluster.pool, devices=TWO, capacity=replace(cluster.pool.capacity, gpus=2))
    tier = replace(cluster.tier, resources=replace(cluster.tier.resources, gpus=1))
    bounds = replace(cluster.policy, min_workers=min_workers, max_workers=max_workers)
    policy = replace(bounds, target_backlog_s=2.0)
    return replace(cluster, pool=pool, tier=tier, policy=policy)


def ran(home: Path, folder: Path, cluster: ClusterSpec, program: str) -> Outcome:
    outcome = carried_out(home, run_spec("gpus", cluster, script(folder, program)))
    assert outcome.error is None, outcome.errors()
    return outcome


PLAIN = """
    import os
    print(os.environ.get("CUDA_VISIBLE_DEVICES"))
    """


def test_a_plain_program_sees_the_gpu_of_its_tier(ebb_home: Path, tmp_path: Path) -> None:
    cluster = with_gpus(cluster_spec("none"), 1, 1)
    assert ran(ebb_home, tmp_path, cluster, PLAIN).output() == f"{TWO[0]}\n"


def test_a_plain_program_without_a_gpu_sees_none_where_they_are_handed_out(
    ebb_home: Path, tmp_path: Path
) -> None:
    cluster = with_gpus(cluster_spec("none"), 1, 1)
    assert ran(ebb_home, tmp_path, replace(cluster, tier=TIER), PLAIN).output() == "\n"


def test_nothing_is_hidden_where_none_are_handed_out(
    ebb_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert POOL.capacity == Resources(4000, 8192 * 2**20)
    assert ran(ebb_home, tmp_path, cluster_spec("none"), PLAIN).output() == "7\n"


DASK = """
    import os
    import time
    from distributed import Client
    from tests.helpers import wait_until

    def mine():
        return os.environ["CUDA_VISIBLE_DEVICES"]

    def slow(_):
        time.sleep(4)
        return mine()

    client, seen = Client(), set()

    def both():
        seen.update(client.gather(client.map(slow, range(4), resources={"GPU": 1}, pure=False)))
        return len(seen) == 2

    wait_until(both, 120, "a second worker came")
    print(*sorted(seen))
    print(repr(mine()))
    """


def test_dask_counts_a_gpu_a_worker_and_tasks_that_wait_for_one_bring_another(
    ebb_home: Path, tmp_path: Path
) -> None:
    outcome = ran(ebb_home, tmp_path, with_gpus(small("dask"), 1, 2), DASK)
    assert outcome.output() == f"{ONE_EACH}\n''\n"
    assert any("workers 1 → 2" in message for message in outcome.messages("scaled"))


RAY = """
    import os
    import ray

    @ray.remote(num_gpus=1)
    class Holder:
        def mine(self):
            return os.environ["CUDA_VISIBLE_DEVICES"]

    ray.init(log_to_driver=False)
    holders = [Holder.remote() for _ in range(2)]
    print(*sorted(ray.get([each.mine.remote() for each in holders])))
    print(ray.cluster_resources()["GPU"], repr(os.environ["CUDA_VISIBLE_DEVICES"]))
    """


@pytest.mark.long
def test_ray_counts_a_gpu_a_worker_and_an_actor_sees_its_own(
    ebb_home: Path, tmp_path: Path
) -> None:
    outcome = ran(ebb_home, tmp_path, with_gpus(small("ray"), 2, 2), RAY)
    assert outcome.output() == f"{ONE_EACH}\n2.0 ''\n"


SPARK = """
    import os
    import time
    from pyspark import TaskContext
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.config("spark.task.resource.gpu.amount", "1").getOrCreate()
    )

    def mine(_):
        time.sleep(2)
        addresses = TaskContext.get().resources()["gpu"].addresses
        yield os.environ["CUDA_VISIBLE_DEVICES"], tuple(addresses)

    seen = set()
    while len(seen) < 2:  # until both executors have come
        seen |= set(spark.sparkContext.parallelize(range(4), 4).mapPartitions(mine).collect())
    print(*sorted(device for device, _ in seen))
    print({addresses for _, addresses in seen}, repr(os.environ["CUDA_VISIBLE_DEVICES"]))
    """


@pytest.mark.long
def test_spark_counts_a_gpu_a_worker_and_a_task_takes_one(ebb_home: Path, tmp_path: Path) -> None:
    outcome = ran(ebb_home, tmp_path, with_gpus(small("spark"), 2, 2), SPARK)
    assert outcome.output() == f"{ONE_EACH}\n{{('0',)}} ''\n"
