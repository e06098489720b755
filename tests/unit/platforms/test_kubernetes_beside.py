"""Pods of a framework whose programs need something beside them, and memory that they share."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.platforms.kubernetes.inside.told import program_settings
from ebbtide.infra.platforms.kubernetes.manifests import cluster
from tests.unit.platforms.test_kubernetes_manifests import (
    JOB,
    PLACE,
    driver_of,
    main_of,
    plan_of,
    pods,
    spec_of,
)


def ray_pods() -> dict[str, dict[str, Any]]:
    """What a Ray cluster's pods are, by their roles."""
    ray, spec = load_framework("ray"), spec_of("ray")
    plan = plan_of(spec)
    things = {
        thing["kind"]: thing for thing in cluster.objects(spec, plan, ray, ray.prepare(plan), PLACE)
    }
    head, worker = pods(things)
    driver = cluster.driver(spec, plan, ray, PLACE)["spec"]
    return {"head": head, "worker": worker, "driver": driver}


@pytest.mark.parametrize("role", ["head", "worker", "driver"])
def test_shared_memory_of_ray_holds_its_store_and_is_within_the_limit(role: str) -> None:
    pod = ray_pods()[role]
    (volume,) = [each for each in pod["volumes"] if each["name"] == "shared-memory"]
    size = int(volume["emptyDir"]["sizeLimit"])
    assert volume["emptyDir"]["medium"] == "Memory"
    container = main_of(pod)
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert mounts["shared-memory"] == "/dev/shm"
    args = container["args"]
    beside = program_settings(args[4].replace("$$(", "$(")).beside if role == "driver" else None
    told = json.loads(beside.argv[-1] if beside is not None else args[-1])
    assert told["object_store_bytes"] < size < int(container["resources"]["limits"]["memory"])


def test_program_of_ray_has_a_node_without_cpus_beside_it_that_is_taken_for_no_worker() -> None:
    told = program_settings(main_of(ray_pods()["driver"])["args"][4].replace("$$(", "$("))
    assert told.beside is not None
    assert json.loads(told.beside.argv[-1])["num_cpus"] == 0
    assert json.loads(told.beside.argv[-1])["host"] == "$(POD_IP)"
    assert "RAY_CLOUD_INSTANCE_ID" not in told.beside.env


def test_sockets_of_ray_have_paths_that_a_pods_name_cannot_make_too_long() -> None:
    for role, place in (("head", -1), ("worker", -1)):
        told = json.loads(main_of(ray_pods()[role])["args"][place])
        longest = f"{told['temp_dir']}/session_2026-11-27_18-18-18_123456_1234567/sockets"
        assert len(f"{longest}/plasma_store") < 107 - len(".12345")


def test_program_of_dask_has_nothing_beside_it() -> None:
    pod = driver_of(replace(spec_of("dask"), job=JOB))["spec"]
    assert program_settings(main_of(pod)["args"][4]).beside is None
    assert "shared-memory" not in {volume["name"] for volume in pod["volumes"]}
