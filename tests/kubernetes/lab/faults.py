"""Switches for tests: what goes wrong with a Kubernetes, on order and back again."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

from kubernetes import client

from tests.helpers import wait_until
from tests.kubernetes.lab import control_plane, namespace, parts
from tests.kubernetes.lab.place import Lab

_BACK_TIMEOUT_S = 120
_SERVER = "kube-apiserver"


@contextlib.contextmanager
def stopped(lab: Lab, part: str = _SERVER) -> Iterator[None]:
    """A part hangs: its connections stay open and nothing answers."""
    parts.send(lab, part, signal.SIGSTOP)
    try:
        yield
    finally:
        parts.send(lab, part, signal.SIGCONT)
        wait_until(lambda: control_plane.ready(lab), _BACK_TIMEOUT_S, f"{part} goes on")


@contextlib.contextmanager
def killed(lab: Lab) -> Iterator[None]:
    """The API server is gone; it is started again afterwards."""
    parts.kill(lab, _SERVER)
    try:
        yield
    finally:
        control_plane.start(lab)


@contextlib.contextmanager
def refused(lab: Lab) -> Iterator[None]:
    """Connections from this machine to the API server are refused at once."""
    rule = ["INPUT", "-i", "lab0", "-p", "tcp", "--dport", "6443", "-j", "REJECT"]
    rule += ["--reject-with", "tcp-reset"]
    namespace.run_inside(lab, ["iptables", "-I", *rule])
    try:
        yield
    finally:
        namespace.run_inside(lab, ["iptables", "-D", *rule])


@contextlib.contextmanager
def delayed(lab: Lab, seconds: float) -> Iterator[None]:
    """Whatever the lab sends to this machine arrives so much later."""
    delay = ["delay", f"{int(seconds * 1000)}ms"]
    namespace.run_inside(lab, ["tc", "qdisc", "add", "dev", "lab0", "root", "netem", *delay])
    try:
        yield
    finally:
        namespace.run_inside(lab, ["tc", "qdisc", "del", "dev", "lab0", "root"])


def cordon(api: client.ApiClient, node: str) -> None:
    """Nothing new is scheduled there."""
    client.CoreV1Api(api).patch_node(node, {"spec": {"unschedulable": True}})


def drain(api: client.ApiClient, node: str) -> None:
    """Cordon a node and evict its pods, as ``kubectl drain`` does; budgets may refuse."""
    cordon(api, node)
    core = client.CoreV1Api(api)
    for pod in core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={node}").items:
        name = {"name": pod.metadata.name, "namespace": pod.metadata.namespace}
        core.create_namespaced_pod_eviction(*name.values(), {"metadata": name})


def lose(api: client.ApiClient, node: str) -> None:
    """A simulated node disappears from one moment to the next; its pods are collected."""
    core = client.CoreV1Api(api)
    core.patch_node(node, {"metadata": {"finalizers": None}})
    core.delete_node(node, grace_period_seconds=0)
