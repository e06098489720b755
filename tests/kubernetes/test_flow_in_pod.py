"""A user's own flow in a pod: it holds a cluster, uses its client directly, and runs jobs.

Its image is one of the user's, which has Dask beside Prefect and our flows: made here of two of
ours.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from kubernetes import client

from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, NETWORK_POLICY
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import deployed, first_contact
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.team import POOL, Team

pytestmark = pytest.mark.long

FLOW = """
import json
from pathlib import Path
from prefect import flow
from ebbtide import cluster, job, parallel

HERE = Path(__file__).parent

@flow
def mine():
    made = job(HERE / "prepare.py", name="prepare", framework="none")
    parts = made.output("parts.json", list[str])
    with cluster("dask", workers=1) as held:
        address = held.client.scheduler.address
        total = held.client.submit(sum, [1, 2]).result()
        with parallel() as group:
            runs = [group.submit(held.run, HERE / "train.py", part, name=part) for part in parts]
        trained = [(run.result().output_dir / "trained").read_text() for run in runs]
    print("FOUND", json.dumps([address, total, trained]))

mine()
"""
PREPARE = """
import json, os
json.dump(["a", "b"], open(os.environ["EBB_OUTPUT_DIR"] + "/parts.json", "w"))
"""
TRAIN = """
import os, sys
from distributed import Client
with open(os.environ["EBB_OUTPUT_DIR"] + "/trained", "w") as out:
    out.write(sys.argv[1] + str(Client().submit(sum, [1, 2]).result()))
"""
FILES = {"flow.py": FLOW, "prepare.py": PREPARE, "train.py": TRAIN}
_SECURE = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
_USER = 10001
_PLACES = {"deps": "/deps", "work": "/work", "run": "/run/ebb", "tmp": "/tmp"}


def container(name: str, image: str, command: str, places: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "Never",
        "args": ["sh", "-c", command],
        "securityContext": _SECURE,
        "volumeMounts": [{"name": each, "mountPath": path} for each, path in places.items()],
    }


def flow_job(namespace: str, images: dict[str, str]) -> dict[str, Any]:
    """The Job of the flow, with the account that ``--print flow`` installs."""
    copy = "cp -r /opt/ebb/venv/lib/python3*/site-packages/. /deps && cp /files/*.py /work"
    places = {"deps": "/deps", "work": "/work", "files": "/files"}
    flow = container("flow", images["prefect"], "cd /work && exec python flow.py", _PLACES)
    variables = {"EBB_PLATFORM": "kubernetes", "EBB_HOME": "/run/ebb/flow", "PYTHONPATH": "/deps"}
    variables |= {"EBB_NAMESPACE": namespace, "HOME": "/tmp", "PREFECT_HOME": "/tmp/prefect"}
    variables["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "240"  # it starts one itself
    flow["env"] = [{"name": name, "value": value} for name, value in variables.items()]
    volumes: list[dict[str, Any]] = [{"name": name, "emptyDir": {}} for name in _PLACES]
    pod = {
        "serviceAccountName": "ebb-flow",
        "restartPolicy": "Never",
        "nodeSelector": {"kubernetes.io/hostname": NODE},
        "tolerations": [{"operator": "Exists"}],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [container("deps", images["dask"], copy, places)],
        "containers": [flow],
        "volumes": [*volumes, {"name": "files", "configMap": {"name": "mine"}}],
    }
    return {"metadata": {"name": "mine"}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}


def test_a_flow_in_a_pod_uses_its_cluster_directly_and_its_account_is_enough(
    api: client.ApiClient, team: Team, image: Image
) -> None:
    images = {name: image(name) for name in ("none", "flow", "dask")}
    text = first_contact.catalog_text(POOL, images)
    team.api.merge(CONFIG_MAP, catalog.NAME, {"data": {"ebb.yaml": text}})
    deployed.install_flow(team.api, images["flow"])
    space = team.api.namespace
    core, batch = client.CoreV1Api(api), client.BatchV1Api(api)
    core.create_namespaced_config_map(space, {"metadata": {"name": "mine"}, "data": FILES})
    made = flow_job(space, {**images, "prefect": image("prefect")})
    batch.create_namespaced_job(space, made)

    def ended() -> bool:
        status = batch.read_namespaced_job_status("mine", space).status
        return bool(status.succeeded or status.failed)

    wait_until(ended, 400, "the flow ends")
    (pod,) = core.list_namespaced_pod(space, label_selector="job-name=mine").items
    said = core.read_namespaced_pod_log(pod.metadata.name, space, container="flow")
    found = [line for line in said.splitlines() if line.startswith("FOUND ")]
    assert found, said
    address, total, trained = json.loads(found[0].removeprefix("FOUND "))
    assert address.endswith(f"-head.{space}:8786"), "the head itself, not a port of loopback"
    assert (total, trained) == (3, ["a3", "b3"])
    assert "goes through the API server" not in said
    assert [each["metadata"]["name"] for each in team.api.list(NETWORK_POLICY).items] == []
