"""What each framework says of the GPUs of its workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePath
from typing import Any

import pytest

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan, MemberAddress, MemberPaths
from ebbtide.infra.frameworks.spark.config import gpus
from ebbtide.infra.models.ids import ClusterId
from tests.clusters import TIER, cluster_spec

AT = MemberAddress(bind="127.0.0.1", host="127.0.0.1")
TWO = replace(TIER, resources=replace(TIER.resources, gpus=2))


def plan(framework: str, *, with_gpus: bool = True) -> ClusterPlan:
    nowhere = PurePath("/there")
    paths = MemberPaths(
        python="python",
        framework=nowhere,
        secrets=nowhere,
        scratch=nowhere,
        artifacts=nowhere,
        head_file=nowhere,
    )
    spec = cluster_spec(framework, tier=TWO if with_gpus else TIER)
    return ClusterPlan(cluster=ClusterId("heron-1"), spec=spec, paths=paths)


def told(framework: str, *, with_gpus: bool = True) -> dict[str, Any]:
    spec = load_framework(framework).worker(plan(framework, with_gpus=with_gpus), "worker-0", AT)
    found: dict[str, Any] = json.loads(spec.argv[-1])
    return found


@pytest.mark.parametrize("framework", ["dask", "ray", "spark"])
def test_a_worker_is_counted_on_for_its_gpus(framework: str) -> None:
    offer = load_framework(framework).offer
    assert offer(plan(framework).spec)["GPU"] == 2
    assert "GPU" not in offer(plan(framework, with_gpus=False).spec)


def test_dask_and_ray_tell_a_worker_its_gpus() -> None:
    assert (told("dask")["resources"], told("dask", with_gpus=False)["resources"]) == (
        {"GPU": 2},
        {},
    )
    assert (told("ray")["num_gpus"], told("ray", with_gpus=False)["num_gpus"]) == (2, 0)


def test_sparks_worker_reads_its_gpus_and_an_executor_takes_them_all() -> None:
    found = {file.name: file.content for file in load_framework("spark").prepare(plan("spark"))}
    settings = dict(
        line.split(" ", 1) for line in found["spark-defaults.conf"].splitlines() if line
    )
    assert settings["spark.worker.resource.gpu.amount"] == "2"
    assert settings["spark.executor.resource.gpu.amount"] == "2"
    place = PurePath(settings["spark.worker.resourcesFile"])
    (named,) = json.loads(found[place.name])
    assert named["id"] == {"componentName": "spark.worker", "resourceName": "gpu"}
    assert named["addresses"] == ["0", "1"]


def test_spark_is_told_nothing_where_the_tier_has_no_gpu() -> None:
    assert gpus.settings(TIER, PurePath("/there")) == {}
    assert gpus.files(TIER) == ()
