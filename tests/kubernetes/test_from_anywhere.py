"""A run begun on one machine, and another one that has only rights in the namespace.

Two homes, and the real command line: what is asked of the other one's run is answered from the
records in the namespace and by its pods.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from tests.kubernetes.command_line import Somebody
from tests.kubernetes.conftest import Image, namespace

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


@pytest.mark.usefixtures("begun")
def test_run_that_goes_on_is_told_of_elsewhere(other: Somebody) -> None:
    listed = other.types("ps", "--json")
    (run,) = json.loads(listed.stdout)
    assert (run["run"], run["phase"]) == (RUN, "Running")
    assert "no living owner" not in listed.stderr
    assert "Running" in other.types("why", RUN).stdout
    assert other.types("logs", RUN).stdout == "begun\n"
    assert f"{RUN}-1-driver" in other.types("held").stdout
    assert RUN in other.types("nodes", "--platform", "kubernetes").stdout


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
