"""``dask: {mode: operator}``: Dask's own operator, beside the lab's API server, makes the pods."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dask_kubernetes
import pytest
import yaml
from kubernetes import client

from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, DASK_CLUSTER, LEASE, POD
from ebbtide.infra.waiting import now_s
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab.first_contact import catalog_text
from tests.kubernetes.team import POOL, Team

ITS_FOLDER = Path(dask_kubernetes.__file__).parent / "operator/deployment/helm"
WORKERS_LEAVE = """
import os, sys, time
from distributed import Client
from mine import twice

client = Client()
there = set(client.scheduler_info()["workers"])
once = [client.submit(os.urandom, 8, key=f"once-{each}", workers=[each]) for each in there]
before = client.gather(once)
print(sum(client.gather(client.map(twice, range(10)))), len(there), flush=True)
while set(client.scheduler_info()["workers"]) & there == there:
    time.sleep(0.1)
print("kept" if client.gather(once) == before else "computed again")
open(os.environ["EBB_OUTPUT_DIR"] + "/result.txt", "w").write("mine")
sys.exit(3)
"""
GOES_ON = """
import time
from distributed import Client

print(Client().submit(sum, [1, 2]).result(), flush=True)
time.sleep(6)
"""
RUN = ("run", "--platform", "kubernetes", "--workers", "2", "--attempts", "1", "train.py")


@pytest.fixture
def site(team: Team, image: Image) -> Team:
    """A namespace whose catalog wants the operator."""
    text = catalog_text(POOL, {"dask": image("dask")}) + "dask: {mode: operator}\n"
    team.api.merge(CONFIG_MAP, catalog.NAME, {"data": {"ebb.yaml": text}})
    (team.folder / "mine.py").write_text("def twice(x):\n    return 2 * x\n")
    (team.folder / "train.py").write_text(WORKERS_LEAVE)
    return team


@pytest.fixture(scope="module")
def its_kinds(api: client.ApiClient) -> Iterator[None]:
    """What its Helm chart installs."""
    definitions = client.ApiextensionsV1Api(api)
    for path in ITS_FOLDER.glob("*/crds/*.yaml"):
        definitions.create_custom_resource_definition(yaml.safe_load(path.read_text()))
    yield
    for path in ITS_FOLDER.glob("*/crds/*.yaml"):
        name = yaml.safe_load(path.read_text())["metadata"]["name"]
        definitions.delete_custom_resource_definition(name)


@pytest.fixture
def operator(its_kinds: None, site: Team) -> Iterator[subprocess.Popen[bytes]]:
    """The controller of its image, for one namespace."""
    words = ("-m", "kopf", "run", "-m", "dask_kubernetes.operator.controller", "--standalone")
    with (site.folder / "operator.log").open("wb") as log:
        runs = subprocess.Popen(
            [sys.executable, *words, "--namespace", site.api.namespace],
            env=site.variables,
            cwd=site.folder,
            stdout=log,
            stderr=log,
        )
    yield runs
    runs.terminate()
    runs.wait(30)


def begun(site: Team, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ebbtide", *words],
        cwd=site.folder,
        env=site.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def left(site: Team) -> list[str]:
    kinds = (DASK_CLUSTER, LEASE, POD)
    return [thing["metadata"]["name"] for kind in kinds for thing in site.api.list(kind).items]


def test_without_its_kinds_a_run_is_refused_before_anything_is_made(site: Team) -> None:
    run = begun(site, *RUN)
    _, told = run.communicate(timeout=60)
    assert run.returncode == 64, told
    assert "Dask's operator: it is not installed" in told
    assert site.api.list(LEASE).items == []
    looked, _ = begun(site, "doctor", "--platform", "kubernetes").communicate(timeout=60)
    assert "Dask's operator" in looked


@pytest.mark.long
@pytest.mark.usefixtures("its_kinds")
def test_without_an_operator_a_run_says_so(site: Team) -> None:
    run = begun(site, *RUN)
    _, told = run.communicate(timeout=120)
    assert run.returncode == 64, told
    assert "Dask's operator has not made the head yet" in told
    # Kubernetes' garbage collector looks for new kinds every 30 s.
    wait_until(lambda: left(site) == [], 90, "the DaskCluster goes with its Lease")


def test_its_pods_run_a_job_lose_nothing_and_go(
    site: Team, operator: subprocess.Popen[bytes]
) -> None:
    run = begun(site, *RUN, "--name", "asked")
    role = {"ebbtide.dev/role": "worker"}
    try:
        wait_until(lambda: site.printed("asked"), 120, "the program prints")
        (made,) = site.api.list(DASK_CLUSTER).items
        assert [each["kind"] for each in made["metadata"]["ownerReferences"]] == ["Lease"]
        pod = site.api.list(POD, role).items[0]["metadata"]["name"]
        site.api.delete(POD, pod)
        out, told = run.communicate(timeout=120)
    finally:
        run.kill()
        if os.environ.get("SHOW"):
            print((site.folder / "operator.log").read_text())
    if os.environ.get("SHOW"):
        print(told)
    assert out == "90 2\nkept\n", told
    assert run.returncode == 3
    assert "Dask's operator makes the pods: 2 workers throughout" in told
    assert left(site) == []
    assert (site.folder / "home/runs/asked/output/result.txt").read_text() == "mine"


@pytest.mark.long
def test_dask_cluster_that_a_dead_operator_keeps_is_named_with_what_to_do(
    site: Team, operator: subprocess.Popen[bytes]
) -> None:
    (site.folder / "train.py").write_text(GOES_ON)
    run = begun(site, *RUN, "--name", "kept")
    try:
        wait_until(lambda: site.printed("kept"), 120, "the program prints")
        operator.kill()
        operator.wait(10)
        began_s = now_s()
        out, told = run.communicate(timeout=120)
    finally:
        run.kill()
    assert out == "3\n", told
    finalizer, command = "kopf.zalando.org/KopfFinalizerMarker", "patch daskclusters kept-1"
    assert "RELEASE:INCOMPLETE" in told
    assert f"kept by finalizer {finalizer}" in told
    assert command in told
    assert [each for each in left(site) if "-" not in each.removeprefix("kept-")] == ["kept-1"] * 2
    assert now_s() - began_s < 6 + 40, "its program, and the release's 20 s"
    listed, _ = begun(site, "held").communicate(timeout=60)
    assert "daskcluster" in listed
    assert command in listed
    site.api.merge(DASK_CLUSTER, "kept-1", {"metadata": {"finalizers": None}})
    wait_until(lambda: left(site) == [], 90, "the Lease goes with it")
