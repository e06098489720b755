"""Simulated nodes: KWOK plays kubelets, Karpenter grows and shrinks pools of them from zero.

The pools here are Karpenter's (Cluster Autoscaler's are in ``pools``). Each has the pool label and
a taint of the same name, a boot time, and machines of one size whose price Karpenter knows.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, utils

from tests.helpers import wait_until
from tests.kubernetes.lab import binaries, control_plane, parts
from tests.kubernetes.lab.place import Lab

POOL_LABEL = "ebbtide.io/pool"
BOOTING = "lab.ebbtide.io/booting"
"""A node with this annotation stays as it is until the annotation is taken away."""
_CRD_TIMEOUT_S = 60
_START_TIMEOUT_S = 90
_MODULE_TIMEOUT_S = 120
_GROUP, _KWOK_GROUP = "karpenter.sh", "karpenter.kwok.sh"
_MACHINE_GIB_PER_CORE = 4
_PRICE_PER_CORE = 0.05

_OWN_SERVERS = {"metrics-api": "metrics_api", "pool-controller": "pools.controller"}
"""Programs of ours: part and module."""

_SIZES = (2, 4, 8, 16)
_INITIALIZE = "node/fast/node-initialize"
_STAGES = (
    "node/heartbeat-with-lease/node-heartbeat-with-lease",
    "pod/fast/pod-ready",
    "pod/fast/pod-complete",
    "pod/fast/pod-delete",
)
"""KWOK's own rules of how nodes and pods live: at once ready, at once gone."""


def start(lab: Lab) -> None:
    """Start KWOK, Karpenter, the pool controller and the metrics API, unless they run."""
    started_s = time.monotonic()
    with api(lab) as administrator:
        _make_definitions(administrator)
    kubeconfig = str(lab.folder / "keys" / "simulator.kubeconfig")
    parts.start(lab, "kwok", _kwok(kubeconfig, _initialize(lab)))
    types = lab.folder / "instance-types.json"
    types.write_text(json.dumps([_instance_type(cores) for cores in _SIZES]))
    parts.start(
        lab,
        "karpenter",
        [str(binaries.find("karpenter"))],
        KUBECONFIG=kubeconfig,
        INSTANCE_TYPES_FILE_PATH=str(types),
        DISABLE_LEADER_ELECTION="true",
        SYSTEM_NAMESPACE="kube-system",
        FEATURE_GATES="",
    )
    root = Path(__file__).parents[3]
    for part, module in _OWN_SERVERS.items():
        words = [sys.executable, "-P", "-m", f"tests.kubernetes.lab.{module}", str(lab.folder)]
        parts.start(lab, part, words, PYTHONPATH=str(root))
    wait_until(lambda: _ready(lab), _START_TIMEOUT_S, "KWOK, Karpenter and the metrics API answer")
    lab.times_s["simulated nodes"] = time.monotonic() - started_s


def api(lab: Lab) -> client.ApiClient:
    """The administrator's client, to be closed."""
    return config.new_client_from_config(str(lab.kubeconfig))


def make_pool(
    api_client: client.ApiClient, name: str, *, cores: int, most_nodes: int, boot_s: float = 5
) -> None:
    """A pool of equal machines that begins empty; emptied nodes go after five seconds.

    Args:
        api_client: the administrator's.
        name: the pool's name, label value and taint value.
        cores: CPUs of one machine: 2, 4, 8 or 16; it has 4 GiB for each.
        most_nodes: the pool's maximum.
        boot_s: from Karpenter's order to the node, in seconds.
    """
    objects = client.CustomObjectsApi(api_client)
    kwok = {
        "apiVersion": f"{_KWOK_GROUP}/v1alpha1",
        "kind": "KWOKNodeClass",
        "metadata": {"name": name},
        "spec": {"nodeRegistrationDelay": f"{boot_s}s"},
    }
    objects.create_cluster_custom_object(_KWOK_GROUP, "v1alpha1", "kwoknodeclasses", kwok)
    pool = _pool(name, cores, most_nodes)
    objects.create_cluster_custom_object(_GROUP, "v1", "nodepools", pool)


def delete_pool(api_client: client.ApiClient, name: str) -> None:
    """Take a pool and its nodes away."""
    objects = client.CustomObjectsApi(api_client)
    objects.delete_cluster_custom_object(_GROUP, "v1", "nodepools", name)
    objects.delete_cluster_custom_object(_KWOK_GROUP, "v1alpha1", "kwoknodeclasses", name)


def _pool(name: str, cores: int, most_nodes: int) -> dict[str, Any]:
    reference = {"group": _KWOK_GROUP, "kind": "KWOKNodeClass", "name": name}
    types = {
        "key": "node.kubernetes.io/instance-type",
        "operator": "In",
        "values": [_type_name(cores)],
    }
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": "NodePool",
        "metadata": {"name": name},
        "spec": {
            "template": {
                "metadata": {"labels": {POOL_LABEL: name}},
                "spec": {
                    "nodeClassRef": reference,
                    "requirements": [types],
                    "taints": [{"key": POOL_LABEL, "value": name, "effect": "NoSchedule"}],
                    "expireAfter": "Never",
                },
            },
            "limits": {"cpu": cores * most_nodes},
            "disruption": {
                "consolidationPolicy": "WhenEmpty",
                "consolidateAfter": "5s",
                "budgets": [{"nodes": "100%"}],
            },
        },
    }


def _type_name(cores: int) -> str:
    return f"m-{cores}"


def _instance_type(cores: int) -> dict[str, Any]:
    requirements = [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]},
        {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["lab"]},
    ]
    return {
        "name": _type_name(cores),
        "architecture": "amd64",
        "operatingSystems": ["linux"],
        "resources": {
            "cpu": str(cores),
            "memory": f"{cores * _MACHINE_GIB_PER_CORE}Gi",
            "pods": "110",
        },
        "offerings": [
            {"Price": cores * _PRICE_PER_CORE, "Available": True, "Requirements": requirements}
        ],
    }


def _stages() -> Path:
    return _module_folder("kwok") / "kustomize" / "stage"


def _initialize(lab: Lab) -> Path:
    """KWOK's rule that makes a new node ready, except that it leaves booting ones alone."""
    stage = yaml.safe_load((_stages() / f"{_INITIALIZE}.yaml").read_text())
    booted = {"key": f'.metadata.annotations["{BOOTING}"]', "operator": "DoesNotExist"}
    stage["spec"]["selector"]["matchExpressions"].append(booted)
    path = lab.folder / "node-initialize.yaml"
    path.write_text(yaml.safe_dump(stage))
    return path


def _kwok(kubeconfig: str, initialize: Path) -> list[str]:
    stages = _stages()
    return [
        str(binaries.find("kwok")),
        f"--kubeconfig={kubeconfig}",
        f"--config={initialize}",
        *(f"--config={stages / stage}.yaml" for stage in _STAGES),
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        "--cidr=10.245.0.0/16",
        "--node-ip=127.0.0.1",
    ]


def _make_definitions(api_client: client.ApiClient) -> None:
    """Karpenter's and its provider's own resource definitions, from their modules."""
    wanted = []
    for module, folder in (("karpenter", "pkg/apis/crds"), ("karpenter", "kwok/apis/crds")):
        for path in sorted((_module_folder(module) / folder).glob("*.yaml")):
            wanted.append(yaml.safe_load(path.read_text()))
    definitions = client.ApiextensionsV1Api(api_client)
    known = {each.metadata.name for each in definitions.list_custom_resource_definition().items}
    for definition in wanted:
        if definition["metadata"]["name"] not in known:
            utils.create_from_dict(api_client, definition)

    def established() -> bool:
        found = definitions.list_custom_resource_definition().items
        conditions = [each.status.conditions or () for each in found]
        good = [any(c.type == "Established" and c.status == "True" for c in e) for e in conditions]
        return sum(good) >= len(wanted)

    wait_until(established, _CRD_TIMEOUT_S, "resource definitions are established")


def _module_folder(module: str) -> Path:
    """Where Go keeps the source of ``sigs.k8s.io/<module>``, as built."""
    done = subprocess.run(
        ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", f"sigs.k8s.io/{module}"],
        cwd=Path(__file__).parent / "modules" / module,
        capture_output=True,
        text=True,
        timeout=_MODULE_TIMEOUT_S,
        check=True,
    )
    return Path(done.stdout.strip())


def _ready(lab: Lab) -> bool:
    """Karpenter watches its pools, KWOK runs, and the API server reaches the metrics API."""
    watching = "Starting workers" in parts.tail(lab, "karpenter", 500)
    runs = bool(parts.pid_of(lab, "kwok"))
    return watching and runs and control_plane.ask(lab, "/apis/metrics.k8s.io/v1beta1") != ""
