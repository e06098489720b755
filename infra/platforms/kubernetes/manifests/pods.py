"""Pods of head, worker and driver: what Pod Security ``restricted`` allows, sized by their tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.infra.frameworks import ready
from ebbtide.infra.frameworks.base import ProcessSpec
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.naming import head_name

Object = dict[str, Any]

STAYS = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}
"""On head and driver: with them goes the run. Cluster Autoscaler's and Karpenter's own words."""
MOVES = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
"""On workers: they drain."""
QUICK_GRACE_S = 5
"""Of head and driver: they have nothing to move."""
DRAIN_SPARE_S = 35
"""Beyond the drain budget: with it used up and a task still running, a worker takes so long."""
_USER = 10001
"""Of the images."""
_UNREACHABLE_S = 30
"""A lost node's pods are given up after this; Kubernetes' default is 300 s."""
_READY_EVERY_S = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where the pods of one tier may run, and from which image."""

    image: str
    pool_label: str
    """Of nodes: its value is the name of their pool."""
    pull_policy: str = "IfNotPresent"
    tolerations: tuple[Mapping[str, str], ...] = ()
    """Of the taints that the pool's nodes have, as a pod spells them."""


def pod_spec(
    cluster: ClusterId, role: str, tier: HardwareTier, machine: Machine, process: ProcessSpec
) -> Object:
    """The ``spec`` of a head's or worker's pod.

    Args:
        cluster: its id; the names of its Secret and ConfigMap follow from it.
        role: ``head``, ``worker`` or ``driver``.
        tier: of this member.
        machine: where it may run.
        process: its command line and environment, which may name ``$(POD_IP)``.

    Returns:
        The specification, without a name.
    """
    drains = role == "worker"
    grace_s = int(tier.drain_budget_s) + DRAIN_SPARE_S if drains else QUICK_GRACE_S
    return {
        "containers": [_container(role, tier, machine, process)],
        "volumes": _volumes(cluster, role),
        "nodeSelector": {machine.pool_label: tier.pool},
        "tolerations": [*map(dict, machine.tolerations), *_give_up_lost_nodes()],
        "terminationGracePeriodSeconds": grace_s,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def _container(role: str, tier: HardwareTier, machine: Machine, process: ProcessSpec) -> Object:
    memory = str(tier.resources.memory_bytes)
    variables = {**process.defaults, **process.not_for_tasks, **process.env}
    return {
        "name": role,
        "image": machine.image,
        "imagePullPolicy": machine.pull_policy,
        # ``args``, not ``command``: the image's init stays the first process.
        "args": list(process.argv),
        "env": [*_downward(), *({"name": k, "value": v} for k, v in variables.items())],
        "resources": {
            "requests": {"cpu": f"{tier.resources.cpu_millis}m", "memory": memory},
            # No limit of CPU: what nobody uses is free, and the HPA counts by requests.
            "limits": {"memory": memory},
        },
        **({} if role == "driver" else _probed()),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "secrets", "mountPath": str(layout.SECRETS), "readOnly": True},
            {"name": "head", "mountPath": str(layout.HEAD_FOLDER), "readOnly": role != "head"},
            {"name": "scratch", "mountPath": str(layout.SCRATCH)},
            {"name": "artifacts", "mountPath": str(layout.ARTIFACTS)},
            {"name": "tmp", "mountPath": str(layout.TEMPORARY)},
        ],
    }


def _probed() -> Object:
    """Ready when it says so itself: a worker once it has registered with its head."""
    return {
        "ports": [{"name": "ready", "containerPort": layout.READY_PORT}],
        "readinessProbe": {
            "httpGet": {"path": ready.PATH, "port": "ready"},
            "periodSeconds": _READY_EVERY_S,
            "timeoutSeconds": 5,
        },
    }


def _downward() -> list[Object]:
    """First in the list: those that follow may use them."""
    fields = {layout.POD_IP: "status.podIP", layout.POD_NAME: "metadata.name"}
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in fields.items()
    ]


def _volumes(cluster: ClusterId, role: str) -> list[Object]:
    """The head says where it answers in a folder of its own; the others read what was planned."""
    head: Object = (
        {"emptyDir": {}} if role == "head" else {"configMap": {"name": head_name(cluster)}}
    )
    return [
        {"name": "secrets", "secret": {"secretName": cluster, "defaultMode": 0o440}},
        {"name": "head", **head},
        *({"name": name, "emptyDir": {}} for name in ("scratch", "artifacts", "tmp")),
    ]


def _give_up_lost_nodes() -> list[Object]:
    return [
        {
            "key": f"node.kubernetes.io/{taint}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": _UNREACHABLE_S,
        }
        for taint in ("unreachable", "not-ready")
    ]
