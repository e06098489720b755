"""How tiers become memory settings of Ray and Spark, and what is refused in time."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.frameworks import interpreters
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.ray import sizes as ray
from ebbtide.infra.frameworks.spark import sizes as spark
from ebbtide.infra.frameworks.versions import Versions, own_versions, versions_of
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.resources import Resources
from tests.clusters import TIER, cluster_spec

MIB = 2**20


def tier(mib: int) -> HardwareTier:
    return replace(TIER, resources=Resources(1000, mib * MIB))


@pytest.mark.parametrize(("mib", "heap_mib"), [(1024, 524), (1536, 921), (4096, 2457)])
def test_spark_heap_leaves_room_beside_it(mib: int, heap_mib: int) -> None:
    assert spark.heap_bytes(tier(mib)) == heap_mib * MIB


def test_spark_refuses_tiers_in_which_it_cannot_start() -> None:
    small, large = tier(900), tier(1024)
    assert spark.too_small(cluster_spec("spark", tier=large, head_tier=large)) == []
    problems = spark.too_small(cluster_spec("spark", tier=small, head_tier=small))
    assert ["--tier" in problems[0].hint, "--head-tier" in problems[1].hint] == [True, True]


def test_ray_node_stays_within_its_tier() -> None:
    size = tier(2048)
    assert ray.store_bytes(size) == 512 * MIB
    assert ray.store_bytes(size) + ray.task_bytes(size) < size.resources.memory_bytes


def test_ray_refuses_a_tier_in_which_no_task_fits() -> None:
    assert ray.too_small(cluster_spec("ray", tier=tier(1100))) == []
    assert ray.too_small(cluster_spec("ray", tier=tier(900)))


def test_ray_refuses_a_small_tier_of_the_head_where_it_is_a_pod_of_its_own() -> None:
    spec = cluster_spec("ray", tier=tier(1100), head_tier=tier(900))
    assert ray.too_small(spec) == []
    on_pods = replace(spec, pool=replace(spec.pool, platform="kubernetes"))
    (problem,) = ray.too_small(on_pods)
    assert "--head-tier" in problem.hint


def test_program_with_our_python_or_with_none_is_not_asked() -> None:
    for word in (sys.executable, "./train.sh"):
        job = JobSpec(argv=(word,), workdir="/")
        assert interpreters.mismatch(job, "ray", sys.executable, python_parts=3) == []


def test_python_without_the_framework_is_refused_by_name(tmp_path: Path) -> None:
    other = tmp_path / "python3"
    other.write_text("#!/bin/sh\necho 3.9.2 1.0\n")
    other.chmod(0o755)
    job = JobSpec(argv=(str(other), "x.py"), workdir="/")
    (problem,) = interpreters.mismatch(job, "pytest", sys.executable, python_parts=2)
    assert "is Python 3.9.2 with pytest 1.0" in problem.summary


@pytest.mark.parametrize("framework", ["dask", "ray", "spark"])
def test_program_with_a_python_that_lacks_the_framework_is_refused(
    tmp_path: Path, framework: str
) -> None:
    bare = tmp_path / "python3"
    bare.write_text("#!/bin/sh\necho 3.11.7\n")
    bare.chmod(0o755)
    job = JobSpec(argv=(str(bare), "x.py"), workdir="/")
    large = cluster_spec(framework, tier=tier(4000), head_tier=tier(4000))
    (problem,) = load_framework(framework).refusals(large, job, sys.executable, {})
    assert problem.summary.startswith(f"{bare} is Python 3.11.7 without ")


def test_python_that_does_not_run_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    job = JobSpec(argv=(str(broken), "x.py"), workdir="/")
    (problem,) = interpreters.mismatch(job, "pytest", sys.executable, python_parts=2)
    assert problem.summary.startswith(f"{broken} does not run; the cluster has Python ")


@pytest.mark.parametrize(
    ("mine", "others", "parts", "fits"),
    [
        (("3.11.2", "2.0"), ("3.11.9", "2.0"), 2, True),
        (("3.11.2", "2.0"), ("3.11.9", "2.0"), 3, False),
        (("3.11.2", "2.0"), ("3.12.2", "2.0"), 2, False),
        (("3.11.2", "2.0"), ("3.11.2", "2.0.1"), 2, False),
        (("3.11.2", "2.0"), ("3.11.2", ""), 2, False),
    ],
)
def test_python_counts_as_far_as_the_framework_says_and_its_own_version_as_a_whole(
    mine: tuple[str, str], others: tuple[str, str], parts: int, fits: bool
) -> None:
    assert Versions(*mine).fits(Versions(*others), parts) is fits


@pytest.mark.parametrize("package", ["distributed", "ray", "pyspark", "pytest", "nowhere"])
def test_an_interpreter_says_of_itself_what_a_process_of_it_says(package: str) -> None:
    assert own_versions(package) == versions_of(sys.executable, package)
