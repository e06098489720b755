"""A session in a pod of the same Kubernetes: whether its client comes to a head directly.

A cluster lets nobody in but its own pods. A pod that holds one is let in to the head's port, by a
rule of its own, when its labels tell it from all others.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters import declaring
from ebbtide.infra.platforms.kubernetes.credentials.base import NAMESPACE_FILE, is_own_account
from ebbtide.infra.platforms.kubernetes.kinds import LEASE, POD, Object
from ebbtide.infra.platforms.kubernetes.naming import head_name, labels, selector
from ebbtide.infra.waiting import wait_until

_OWN_LABELS = (
    "batch.kubernetes.io/controller-uid",
    "statefulset.kubernetes.io/pod-name",
    "batch.kubernetes.io/job-name",
    "job-name",
)
"""By which one pod, or the pods of one Job, are told from all others."""
_LET_IN_S = 5.0
"""An enforcer may learn of a rule a moment after it is there."""
_CONNECT_S = 1.0


def direct_host(api: Api, spec: RunSpec, cluster: ClusterId) -> str:
    """Find out where a client in this process reaches the head without the API server.

    Args:
        api: of the namespace.
        spec: of the run.
        cluster: its id.

    Returns:
        The host; empty: nowhere, this is no pod of that Kubernetes or its network refuses.
    """
    if not is_own_account(api.access.kubeconfig, api.access.context):
        return ""
    with contextlib.suppress(ApiError):  # without the right it is tried all the same
        _let_in(api, spec, cluster)
    host = f"{head_name(cluster)}.{api.namespace}"
    there = wait_until(lambda: _answers(host), timeout_s=_LET_IN_S, first_s=0.1)
    return host if there else ""


def _answers(host: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, layout.PORT), _CONNECT_S):
        return True
    return False


def _let_in(api: Api, spec: RunSpec, cluster: ClusterId) -> None:
    with open(NAMESPACE_FILE) as file:
        here = file.read().strip()
    lease = api.get(LEASE, cluster)
    own = _own_labels(api, here)
    if lease is not None and own:
        declaring.add(api, lease, policy(api.namespace, spec, cluster, own))


def _own_labels(api: Api, namespace: str) -> dict[str, str]:
    """Those of this pod that no other has; a pod of another namespace may not be looked at."""
    if namespace != api.namespace:
        return {}
    pod = api.get(POD, os.environ.get("HOSTNAME", "")) or {}
    found: dict[str, Any] = pod.get("metadata", {}).get("labels") or {}
    return next(({name: found[name]} for name in _OWN_LABELS if name in found), {})


def policy(namespace: str, spec: RunSpec, cluster: ClusterId, own: dict[str, str]) -> Object:
    """The rule that lets a session's pod in to the head, beside the cluster's own.

    Args:
        namespace: of the cluster.
        spec: of the run.
        cluster: its id.
        own: the labels that tell the session's pod, of the same namespace, from all others.

    Returns:
        The object, which the cluster's Lease is to own.
    """
    peer = {"podSelector": {"matchLabels": own}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"{cluster}-session",
            "namespace": namespace,
            "labels": labels(spec, cluster, "cluster"),
        },
        "spec": {
            "podSelector": {"matchLabels": selector(cluster, "head")},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [peer], "ports": [{"protocol": "TCP", "port": layout.PORT}]},
            ],
        },
    }
