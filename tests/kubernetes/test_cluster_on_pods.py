"""A cluster's own objects on a real node: they are made, work together, and go with their Lease."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kubernetes import client

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes import kinds, layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.manifests import cluster
from ebbtide.infra.platforms.kubernetes.manifests.pods import Machine
from ebbtide.infra.platforms.kubernetes.manifests.shipment import Shipment
from ebbtide.infra.platforms.kubernetes.naming import driver_name, head_name
from ebbtide.infra.platforms.kubernetes.shipping.collecting import (
    Followed,
    fetch_folder,
    follow_to_end,
)
from ebbtide.infra.platforms.kubernetes.shipping.package import pack
from ebbtide.infra.platforms.kubernetes.shipping.program import translate
from ebbtide.infra.platforms.kubernetes.shipping.sending import send
from tests.clusters import MIB, QUICK, run_spec
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.simulated import POOL_LABEL

WITH_DASK = """
import os, sys
from distributed import Client
from mine import twice

def seen():
    return os.getcwd(), os.environ["EBB_RUN"], os.environ["TOKEN"]

client = Client()
print(sum(client.gather(client.map(twice, range(10)))))
print(*sorted(set(client.run(seen).values())))
print("told apart", file=sys.stderr)
with open(os.environ["EBB_OUTPUT_DIR"] + "/result.txt", "w") as file:
    file.write("kept")
sys.exit(3)
"""
PLAIN = """
import os, signal
from mine import twice
print(twice(21), os.environ["TOKEN"], flush=True)
open(os.path.expanduser("~/writable"), "w").close()
os.kill(os.getpid(), signal.SIGKILL)
"""
POOL = "real"
TIER = HardwareTier(name="tiny", pool=POOL, resources=Resources(200, 400 * MIB), drain_budget_s=20)


def project(folder: Path, program: str) -> JobSpec:
    """A user's folder, and the program in it."""
    (folder / "mine.py").write_text("def twice(x):\n    return 2 * x\n")
    (folder / "train.py").write_text(program)
    return JobSpec(argv=(sys.executable, "train.py"), workdir=str(folder), secrets=("TOKEN",))


def spec_of(framework: str, job: JobSpec) -> RunSpec:
    pool = NodePool(name=POOL, platform="kubernetes", capacity=Resources(4000, 8192 * MIB))
    policy = replace(QUICK, min_workers=2)
    asked = ClusterSpec(framework=framework, tier=TIER, head_tier=TIER, pool=pool, policy=policy)
    return replace(run_spec("pods", asked), job=job, tags=("nightly",))


@pytest.fixture
def pool(api: client.ApiClient) -> Iterator[str]:
    """The real node as the only one of a pool."""
    core = client.CoreV1Api(api)
    for label in (POOL, None):
        core.patch_node(NODE, {"metadata": {"labels": {POOL_LABEL: label}}})
        if label:
            yield label


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program has left."""

    output: dict[str, bytes]
    exit_code: int | None
    files: dict[str, str]
    container_exit_code: int


def ended(here: Api, image: str, spec: RunSpec, folder: Path) -> Ended:
    """Run a job on pods; its cluster stays."""
    assert spec.job is not None
    root = Path(spec.job.workdir)
    package, moved = pack(root, folder / "package"), translate(spec.job, root)
    shipment = Shipment(
        digest=package.digest,
        job=moved.job,
        import_path=moved.import_path,
        secret_values={"TOKEN": "s3cr3t"},
    )
    with_cluster = spec.cluster.has_workers
    framework = load_framework(spec.cluster.framework) if with_cluster else None
    plan = ClusterPlan(
        cluster=ClusterId("pods-1"),
        spec=spec.cluster,
        paths=layout.paths(),
        workdir=shipment.workdir,
        import_path=shipment.import_path,
    )
    machine = Machine(image=image, selector={POOL_LABEL: POOL}, pull_policy="Never")
    place = cluster.Place(namespace=here.namespace, machine=machine)
    secrets = cluster.cluster_secrets(framework, plan)
    lease, *rest = cluster.objects(spec, plan, framework, secrets, place, shipment)
    owner = here.create(lease)
    if with_cluster:
        rest.append(cluster.autoscaler(spec, plan.cluster, place))
    for thing in (*rest, cluster.driver(spec, plan, framework, place, shipment)):
        here.apply(cluster.owned(thing, owner))
    driver = driver_name(plan.cluster)
    store = head_name(plan.cluster) if with_cluster else driver
    wait_until(lambda: files_runs(here, store), 60, f"files runs in {store}")
    send(here.run, store, package)
    wait_until(lambda: files_runs(here, driver), 60, f"files runs in {driver}")
    output, seen = {"stdout": b"", "stderr": b""}, Followed()
    for piece in follow_to_end(here.run, driver, seen, lambda error: False):
        if piece is not None:
            output[piece.stream] += piece.data
    assert seen.end
    fetch_folder(here.run, driver, layout.FILES, str(layout.OUTPUT), folder / "output")
    files = {path.name: path.read_text() for path in (folder / "output").glob("*")}
    code = wait_until(lambda: exit_code(here, driver), 30, "the kubelet says how it ended")
    return Ended(output, seen.end["exit_code"], files, code)


def files_runs(here: Api, pod: str) -> bool:
    found = here.get(kinds.POD, pod) or {}
    statuses = found.get("status", {}).get("containerStatuses", ())
    return any(s["name"] == layout.FILES and "running" in s["state"] for s in statuses)


def exit_code(here: Api, pod: str) -> int:
    found = here.get(kinds.POD, pod)
    assert found is not None
    (main,) = [s for s in found["status"]["containerStatuses"] if s["name"] == "driver"]
    return int(main["state"].get("terminated", {}).get("exitCode", 0))


def left(here: Api) -> list[str]:
    """Names of what is left of any cluster."""
    mine = {"app.kubernetes.io/managed-by": "ebb"}
    asked = (
        *(kinds.POD, kinds.SECRET, kinds.CONFIG_MAP, kinds.SERVICE, kinds.DEPLOYMENT),
        *(kinds.AUTOSCALER, kinds.NETWORK_POLICY, kinds.BUDGET),
    )
    return [thing["metadata"]["name"] for kind in asked for thing in here.list(kind, mine).items]


@pytest.mark.usefixtures("guarded", "pool")
def test_dask_job_runs_on_pods_of_its_own_and_all_go_with_the_lease(
    here: Api, image: Image, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In a namespace that enforces Pod Security ``restricted``; tasks use the user's module."""
    spec = spec_of("dask", project(tmp_path, WITH_DASK))
    found = ended(here, image("dask"), spec, tmp_path_factory.mktemp("here"))
    assert found.output["stdout"] == b"90\n('/run/ebb/code', 'pods', 's3cr3t')\n"
    assert found.output["stderr"] == b"told apart\n"
    assert (found.exit_code, found.container_exit_code) == (3, 3)
    assert found.files == {"result.txt": "kept"}
    deployment = here.get(kinds.DEPLOYMENT, "pods-1-worker")
    assert deployment is not None
    assert deployment["status"]["readyReplicas"] == 2
    here.delete(kinds.LEASE, "pods-1")
    wait_until(lambda: left(here) == [], 120, "everything went with the Lease")


@pytest.mark.usefixtures("guarded", "pool")
def test_plain_program_has_its_code_and_the_signal_that_ended_it_is_told(
    here: Api, image: Image, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    spec = spec_of("none", project(tmp_path, PLAIN))
    found = ended(here, image("none"), spec, tmp_path_factory.mktemp("here"))
    assert found.output == {"stdout": b"42 s3cr3t\n", "stderr": b""}
    assert (found.exit_code, found.container_exit_code) == (-9, 137)
    here.delete(kinds.LEASE, "pods-1")
    wait_until(lambda: left(here) == [], 120, "everything went with the Lease")
