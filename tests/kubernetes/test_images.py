"""The product's images: what is in them, whom they run as, and that a framework works in a pod."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import product_images
from tests.kubernetes.lab.__main__ import say
from tests.kubernetes.lab.place import Lab

ALONE = """
import importlib.util as found, sys
import ebbtide.infra.frameworks.FRAMEWORK
print(*[name for name in ("prefect", "flows", "tasks") if found.find_spec(name)])
"""
ASKS_DASK = """
from distributed import Client
with Client("tcp://head:8786", timeout=90) as client:
    client.wait_for_workers(2, timeout=60)
    print(len(client.scheduler_info()["workers"]), client.submit(sum, [1, 2]).result())
"""
ASKS_RAY = """
import ray
ray.init(num_cpus=1, log_to_driver=False, logging_level="ERROR")
print(ray.get(ray.remote(num_cpus=1)(lambda: sum([1, 2])).remote()))
"""
ASKS_SPARK = """
from pyspark.sql import SparkSession
session = (
    SparkSession.builder.master("local[1]")
    .config("spark.ui.showConsoleProgress", "false")
    .getOrCreate()
)
print(session.sparkContext.parallelize([1, 2]).map(lambda number: number * 10).sum())
"""


def run(api: client.ApiClient, space: str, name: str, image: str, **container: Any) -> None:
    """Start a pod that may do nothing special."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    share = {"requests": {"cpu": "200m"}}  # without one, everything else on the machine goes first
    main = {"name": "main", "image": image, "securityContext": security, "resources": share}
    spec = {
        "containers": [{"imagePullPolicy": "Never", **main, **container}],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "512Mi"}}],
    }
    body = {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec}
    client.CoreV1Api(api).create_namespaced_pod(space, body)


def told(
    api: client.ApiClient, space: str, image: str, *words: str, timeout_s: float = 120, **more: Any
) -> str:
    """What a program printed in a pod that has ended well."""
    run(api, space, "program", image, args=list(words), **more)
    core = client.CoreV1Api(api)

    def ended() -> str:
        phase = core.read_namespaced_pod("program", space).status.phase
        return str(phase) if phase in ("Succeeded", "Failed") else ""

    phase = wait_until(ended, timeout_s, f"the program ends: {words}")
    output = str(core.read_namespaced_pod_log("program", space))
    assert phase == "Succeeded", output
    return output


def test_it_runs_without_privileges_below_an_init(
    api: client.ApiClient, guarded: str, image: Image
) -> None:
    script = "id -u; cat /proc/1/comm; grep CapEff /proc/self/status; [ ! -w /opt/ebb/code ]"
    output = told(api, guarded, image("dask"), "sh", "-c", script)
    assert output.split() == ["10001", "tini", "CapEff:", "0" * 16]


@pytest.mark.parametrize("framework", ["dask", "ray", "spark"])
def test_it_has_ebbs_code_and_neither_prefect_nor_flows(
    api: client.ApiClient, guarded: str, image: Image, framework: str
) -> None:
    script = ALONE.replace("FRAMEWORK", f"{framework}.head")
    assert told(api, guarded, image(framework), "python", "-c", script) == "\n"


def test_it_does_not_tell_where_its_packages_came_from(
    api: client.ApiClient, guarded: str, image: Image
) -> None:
    script = "cat /etc/pip.conf /etc/apt/sources.list* /run/secrets/ca.pem 2>/dev/null || true"
    assert told(api, guarded, image("spark"), "sh", "-c", script) == ""


def test_dask_workers_find_the_head_by_its_services_name(
    api: client.ApiClient, guarded: str, image: Image
) -> None:
    name = image("dask")
    spec = {"selector": {"app": "head"}, "ports": [{"port": 8786}]}
    service = {"metadata": {"name": "head"}, "spec": spec}
    client.CoreV1Api(api).create_namespaced_service(guarded, service)
    run(api, guarded, "head", name, args=["dask", "scheduler", "--no-dashboard"])
    for number in range(2):
        words = ["dask", "worker", "tcp://head:8786", "--no-dashboard", "--no-nanny"]
        run(api, guarded, f"worker-{number}", name, args=words)
    assert told(api, guarded, name, "python", "-c", ASKS_DASK) == "2 3\n"


@pytest.mark.long
def test_ray_head_runs_a_task(api: client.ApiClient, guarded: str, image: Image) -> None:
    memory = [{"name": "memory", "mountPath": "/dev/shm"}]
    output = told(api, guarded, image("ray"), "python", "-c", ASKS_RAY, volumeMounts=memory)
    assert output.splitlines()[-1] == "3"


@pytest.mark.long
def test_spark_session_runs_a_job(api: client.ApiClient, guarded: str, image: Image) -> None:
    output = told(api, guarded, image("spark"), "python", "-c", ASKS_SPARK)
    assert output.splitlines()[-1] == "30"


def test_change_of_code_makes_another_image_with_one_other_layer(
    image: Image, tmp_path: Path
) -> None:
    before = image("none")
    shutil.copytree(product_images.SOURCE / "infra", tmp_path / "infra")
    shutil.copy(product_images.SOURCE / ".dockerignore", tmp_path)
    shutil.copytree(product_images.SOURCE / "src", tmp_path / "src", symlinks=True)
    (tmp_path / "infra" / "waiting.py").write_text("changed = True\n")
    after = product_images.build("none", say, tmp_path)
    assert after != before
    *kept, last = product_images.layers(before)
    *same, other = product_images.layers(after)
    assert (same, other != last) == (kept, True)


def test_nothing_is_built_or_imported_twice(lab: Lab, image: Image) -> None:
    said: list[str] = []
    name = image("none")
    assert (product_images.provide(lab, "none", said.append), said) == (name, [])
