"""Deployments and autoscalers for tests of the lab."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import NotFoundException

from ebbtide.infra.models.resources import parse_cpu
from tests.kubernetes.lab import images
from tests.kubernetes.lab.metrics_api import CPU
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.simulated import POOL_LABEL

OWN_CLUSTER, OWN_IMAGE = "EBB_TEST_KUBECONFIG", "EBB_TEST_IMAGE"
"""A cluster that is not the lab, and an image with a shell that it can pull."""
OWN_IMAGES = "EBB_TEST_IMAGES"
"""The product's images that it can pull, such as ``dask=registry/ebb-dask:1 none=…``."""


def image() -> str:
    """An image with busybox's commands."""
    usual = "busybox" if os.environ.get(OWN_CLUSTER) else images.BUSYBOX
    return os.environ.get(OWN_IMAGE) or usual


def runs(script: str, **more: Any) -> dict[str, Any]:
    """A pod's spec with one container that runs a script."""
    command = ["/bin/sh", "-c", script]
    container = {"image": image(), "command": command, "imagePullPolicy": "IfNotPresent", **more}
    return {"container": container}


def writes(script: str) -> dict[str, Any]:
    """The same with a folder in which the script may write: /scratch."""
    mount = {"name": "work", "mountPath": "/scratch"}
    return {**runs(script, volumeMounts=[mount]), "volumes": [{"name": "work", "emptyDir": {}}]}


def harmless(spec: dict[str, Any]) -> dict[str, Any]:
    """A pod's spec as Pod Security ``restricted`` wants it."""
    none = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    profile = {"seccompProfile": {"type": "RuntimeDefault"}}
    user = {"runAsNonRoot": True, "runAsUser": 10001, **profile}
    containers = [{**each, "securityContext": none} for each in spec["containers"]]
    return {**spec, "containers": containers, "securityContext": user}


def pods(api: client.ApiClient, space: str) -> list[client.V1Pod]:
    """Those of a namespace."""
    found: list[client.V1Pod] = client.CoreV1Api(api).list_namespaced_pod(space).items
    return found


def state(pod: client.V1Pod, kind: str) -> str:
    """Why its container waits (``waiting``), or why it ended (``terminated``)."""
    for status in pod.status.container_statuses or ():
        for each in (status.state, status.last_state):
            found = getattr(each, kind)
            if found is not None:
                return str(found.reason)
    return ""


def on_pool(pool: str) -> dict[str, Any]:
    """What makes a pod wait for a node of this pool."""
    same = {"key": POOL_LABEL, "operator": "Equal", "value": pool, "effect": "NoSchedule"}
    return {"nodeSelector": {POOL_LABEL: pool}, "tolerations": [same]}


def deploy(api: client.ApiClient, space: str, replicas: int, cpu: str, pod: dict[str, Any]) -> None:
    """A Deployment ``work`` of pods with one container; ``pod`` adds to their spec."""
    container = {
        "name": "main",
        "image": "nothing:1",
        "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}},
        **pod.pop("container", {}),
    }
    labels = {"app": "work"}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1, **pod}
    template = {"metadata": {"labels": labels}, "spec": harmless(spec)}
    body = {
        "metadata": {"name": "work"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }
    client.AppsV1Api(api).create_namespaced_deployment(space, body)


def scale(api: client.ApiClient, space: str, replicas: int) -> None:
    """Set the number of replicas."""
    body = {"spec": {"replicas": replicas}}
    client.AppsV1Api(api).patch_namespaced_deployment_scale("work", space, body)


def replicas(api: client.ApiClient, space: str) -> int:
    """How many are wanted."""
    return int(client.AppsV1Api(api).read_namespaced_deployment_scale("work", space).spec.replicas)


def ready(api: client.ApiClient, space: str) -> int:
    """How many pods are ready."""
    return int(
        client.AppsV1Api(api).read_namespaced_deployment("work", space).status.ready_replicas or 0
    )


def autoscale(api: client.ApiClient, space: str, most: int, percent: int = 80) -> None:
    """An HPA that goes by the CPU."""
    target = {"type": "Utilization", "averageUtilization": percent}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "work"}
    body = {
        "metadata": {"name": "work"},
        "spec": {
            "scaleTargetRef": reference,
            "minReplicas": 1,
            "maxReplicas": most,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 10}},
        },
    }
    client.AutoscalingV2Api(api).create_namespaced_horizontal_pod_autoscaler(space, body)


def uses(api: client.ApiClient, space: str, cpu: str) -> None:
    """Let every simulated pod use so much, also those that come later."""
    core = client.CoreV1Api(api)
    body = {"metadata": {"annotations": {CPU: cpu}}}
    for pod in core.list_namespaced_pod(space).items:
        with contextlib.suppress(NotFoundException):  # it has left meanwhile
            core.patch_namespaced_pod(pod.metadata.name, space, body)


def nodes_of(api: client.ApiClient, pool: str) -> list[client.V1Node]:
    """A pool's nodes."""
    found: list[client.V1Node] = (
        client.CoreV1Api(api).list_node(label_selector=f"{POOL_LABEL}={pool}").items
    )
    return found


def most_of_the_node(api: client.ApiClient) -> int:
    """Two of them do not fit, one does; in thousandths of a core."""
    node = client.CoreV1Api(api).read_node(NODE)
    return parse_cpu(node.status.allocatable["cpu"]) * 6 // 10
