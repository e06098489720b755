"""A run begun on one machine, and another one that has only rights in the namespace.

Two homes, and the real command line: what is asked of the other one's run is answered from the
records in the namespace and by its pods.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from tests.kubernetes.command_line import Somebody
from tests.kubernetes.conftest import Image, namespace
from tests.kubernetes.lab import faults

RUN = "far-heron"
PROGRAM = """
import sys, threading
print("begun", flush=True)
print("told", file=sys.stderr, flush=True)
threading.Event().wait(600)
"""
POOL = {"platform": "kubernetes", "nodes": "0..1", "node-cpu": 2, "node-memory": "8Gi"}
TIERS = {"small": {"cpu": "100m", "memory": "128Mi", "price-per-hour": 3600}}
CANCELLED = 130
IN_RBAC = {"apiGroup": "rbac.authorization.k8s.io"}


def settings(kubeconfig: str, space: str) -> dict[str, str]:
    return {"KUBECONFIG": kubeconfig, "EBB_NAMESPACE": space, "EBB_PREFECT_SERVER": "off"}


@pytest.fixture(scope="module")
def shared_space(api: client.ApiClient, image: Image) -> Iterator[str]:
    """With a catalog that an administrator wrote."""
    with namespace(api) as name:
        pool = {**POOL, "label": "kubernetes.io/os", "images": {"none": image("none")}}
        text = yaml.safe_dump({"pools": {"linux": pool}, "tiers": TIERS})
        catalog = {"metadata": {"name": "ebb-catalog"}, "data": {"ebb.yaml": text}}
        client.CoreV1Api(api).create_namespaced_config_map(name, catalog)
        yield name


@pytest.fixture(scope="module")
def begun(
    kubeconfig: str, shared_space: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[subprocess.Popen[str]]:
    """By the first; its command goes on until the run has ended."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "train.py").write_text(PROGRAM)
    first = Somebody(folder, folder / "ebb", settings(kubeconfig, shared_space))
    words = ("--platform", "kubernetes", "--framework", "none", "--name", RUN, "train.py")
    with first.begins("run", *words) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.terminate()


@pytest.fixture
def other(kubeconfig: str, shared_space: str, tmp_path: Path) -> Somebody:
    """With a fresh home each time: nothing is known from before."""
    return Somebody(tmp_path, tmp_path / "ebb", settings(kubeconfig, shared_space))


@pytest.fixture
def guest(api: client.ApiClient, kubeconfig: str, shared_space: str, tmp_path: Path) -> Somebody:
    """Whose account may do everything in the namespace, and nothing beyond it."""
    all_there = {
        "metadata": {"name": "all-there"},
        "roleRef": {**IN_RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": shared_space}],
    }
    client.RbacAuthorizationV1Api(api).create_namespaced_role_binding(shared_space, all_there)
    found = yaml.safe_load(Path(kubeconfig).read_text())
    account = {"token": faults.token(api, shared_space, "guest")}
    found["users"] = [{**user, "user": account} for user in found["users"]]
    path = tmp_path / "guest.kubeconfig"
    path.write_text(json.dumps(found))
    return Somebody(tmp_path, tmp_path / "guest", settings(str(path), shared_space))


@pytest.mark.usefixtures("begun")
def test_run_that_goes_on_is_told_of_elsewhere(other: Somebody) -> None:
    listed = other.types("ps", "--json")
    (run,) = json.loads(listed.stdout)
    assert (run["run"], run["phase"]) == (RUN, "Running")
    assert "no living owner" not in listed.stderr
    assert "Running" in other.types("why", RUN).stdout
    assert other.types("logs", RUN).stdout == "begun\n"
    assert f"{RUN}-1-driver" in other.types("held").stdout
    told = other.types("nodes", "--platform", "kubernetes", "--json").stdout
    (share,), node = share_and_node(told)
    assert (share["run"], share["owner"], share["pool"]) == (RUN, "driver", "linux")
    assert node["requested"]["cpu"] >= node["used"]["cpu"] >= share["cpu"] > 0
    assert node["other_pods"]["count"] >= node["other_pods"]["daemons"]


@pytest.mark.usefixtures("begun")
def test_whoever_has_rights_in_the_namespace_only_is_shown_what_can_be(guest: Somebody) -> None:
    told = guest.types("nodes", "--platform", "kubernetes", "--json")
    (share,), node = share_and_node(told.stdout)
    assert (share["run"], share["owner"]) == (RUN, "driver")
    assert (node["ready"], node["load"], node["requested"]) == (None, None, None)
    assert node["used"]["cpu"] == share["cpu"]
    said = json.loads(told.stdout)["not_shown"]
    assert [sentence.partition(" may not")[0] for sentence in said] == [
        "nodes",
        f"pods of other namespaces than {guest.variables['EBB_NAMESPACE']}",
    ]
    assert f"! not shown: {said[0]}" in guest.types("nodes", "--platform", "kubernetes").stderr


def share_and_node(told: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What of the catalog's pool runs, and the node on which the first of it is."""
    found = json.loads(told)
    shares = [share for share in found["shares"] if share["pool"] == "linux"]
    (pool,) = [pool for pool in found["pools"] if pool["name"] == "linux"]
    (node,) = [node for node in pool["nodes"] if node["name"] == shares[0]["node"]]
    return shares, node


def test_run_is_stopped_from_elsewhere(begun: subprocess.Popen[str], other: Somebody) -> None:
    other.types("stop", RUN)
    assert begun.wait(60) == CANCELLED
    assert "JOB:CANCELLED" in str(begun.stderr and begun.stderr.read())


def test_run_that_has_ended_is_told_of_elsewhere(other: Somebody) -> None:
    assert json.loads(other.types("ps", "--json").stdout) == []
    (run,) = json.loads(other.types("ps", "--all", "--json").stdout)
    assert (run["run"], run["phase"]) == (RUN, "Cancelled")
    assert "JOB:CANCELLED" in other.types("why", RUN).stdout
    logs = other.types("logs", RUN)
    assert (logs.stdout, "told" in logs.stderr) == ("begun\n", True)
    assert RUN in other.types("cost", RUN).stdout
    assert "nothing" in other.types("held").stdout
