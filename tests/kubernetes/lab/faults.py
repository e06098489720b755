"""Switches for tests: what goes wrong with a Kubernetes, on order and back again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kubernetes import client

from tests.helpers import wait_until
from tests.kubernetes.lab import control_plane, images, namespace, node, parts
from tests.kubernetes.lab.place import FIRST, Lab, Machine

_BACK_TIMEOUT_S = 120
_KILLED_TIMEOUT_S = 30
REGISTRY = "127.0.0.1:5055"
_SERVER, _REGISTRY = "kube-apiserver", "registry"
_SLACK_BYTES = 8 * 2**20
_MEMORY = (
    ("memory.usage_in_bytes", "memory.limit_in_bytes"),
    ("memory.current", "memory.max"),
)
"""What a cgroup uses and may use, in version 1 and 2."""


@contextlib.contextmanager
def stopped(lab: Lab, part: str = _SERVER) -> Iterator[None]:
    """A part hangs: its connections stay open and nothing answers."""
    parts.send(lab, part, signal.SIGSTOP)
    try:
        yield
    finally:
        parts.proceed(lab, part)
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


def cordon(api: client.ApiClient, node: str) -> None:
    """Nothing new is scheduled there."""
    client.CoreV1Api(api).patch_node(node, {"spec": {"unschedulable": True}})


def uncordon(api: client.ApiClient, node: str) -> None:
    """It is as before."""
    client.CoreV1Api(api).patch_node(node, {"spec": {"unschedulable": None}})


def bind(api: client.ApiClient, space: str, pod: str, machine: Machine) -> None:
    """Put a pod that waits for a node on this one, in the scheduler's place."""
    target = {"apiVersion": "v1", "kind": "Node", "name": machine.name}
    body = {"metadata": {"name": pod}, "target": target}
    # The answer is a status, which the client takes for a binding that lacks its target.
    client.CoreV1Api(api).create_namespaced_pod_binding(pod, space, body, _preload_content=False)


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


@contextlib.contextmanager
def lost(
    lab: Lab, api: client.ApiClient, machine: Machine = FIRST, *, running: bool = False
) -> Iterator[None]:
    """A real node's machine is off: no kubelet, no container. Afterwards it boots again.

    The API server is told at once what the node controller would say after its grace period.

    Args:
        lab: whose node it is.
        api: the administrator's client.
        machine: which node.
        running: whether only its network is cut, so that its containers run on.
    """
    parts.kill(lab, machine.kubelet)
    if not running:
        for pid in _pids(_pods_cgroups(lab, machine)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    core = client.CoreV1Api(api)
    unknown = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    core.patch_node_status(machine.name, {"status": {"conditions": [unknown]}})
    unready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    on_it = {"field_selector": f"spec.nodeName={machine.name}"}
    for pod in core.list_pod_for_all_namespaces(**on_it).items:
        core.patch_namespaced_pod_status(pod.metadata.name, pod.metadata.namespace, unready)
    silence = ["INPUT", "-p", "tcp", "--dport", str(machine.port), "-j", "DROP"]
    namespace.run_inside(lab, ["iptables", "-I", *silence])
    try:
        yield
    finally:
        namespace.run_inside(lab, ["iptables", "-D", *silence])
        node.boot(lab, api, machine)


@contextlib.contextmanager
def unpullable(lab: Lab, image: str) -> Iterator[None]:
    """An image of the lab is not on the node, and there is no registry to pull it from."""
    images.remove_from(lab, image)
    try:
        yield
    finally:
        images.import_into(lab, images.build_for_tests())


@contextlib.contextmanager
def empty_registry(lab: Lab) -> Iterator[None]:
    """A registry that has no image, on the lab's own loopback: it answers at once."""
    host, port = REGISTRY.split(":")
    empty = lab.folder / _REGISTRY
    empty.mkdir(exist_ok=True)
    parts.log_of(lab, _REGISTRY).unlink(missing_ok=True)  # an earlier one said the same
    words = ["-m", "http.server", port, "--bind", host, "--directory", str(empty)]
    parts.start(lab, _REGISTRY, [sys.executable, "-u", *words])
    serves = "the registry answers"
    wait_until(lambda: "Serving HTTP" in parts.tail(lab, _REGISTRY, 99), _BACK_TIMEOUT_S, serves)
    try:
        yield
    finally:
        parts.kill(lab, _REGISTRY)


@contextlib.contextmanager
def silent_registry(lab: Lab) -> Iterator[None]:
    """The same, which takes every connection and never answers."""
    with empty_registry(lab):
        parts.send(lab, _REGISTRY, signal.SIGSTOP)
        yield


def exhaust_memory(lab: Lab, pod: client.V1Pod) -> None:
    """A pod's first container dies for want of memory, whatever it was doing.

    Its limit is lowered to what it uses, and a stranger joins its cgroup who wants ever more. The
    kernel kills somebody, which containerd hears of; whom it spares is killed here.
    """
    _, _, container = pod.status.container_statuses[0].container_id.partition("://")
    (cgroup,) = [path for path in namespace.cgroups(lab) if _is_memory_of(path, container)]
    victims = _pids([cgroup])
    _lower_limit(cgroup)
    words = ["sh", "-c", 'echo $$ >"$0/cgroup.procs" && exec tail /dev/zero', str(cgroup)]
    stranger = subprocess.Popen(words, env=namespace.environment(lab, "visitor"))
    try:
        stranger.wait(_KILLED_TIMEOUT_S)
    finally:
        stranger.kill()
        stranger.wait()
    for pid in victims & _pids([cgroup]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def token(api: client.ApiClient, space: str, name: str) -> str:
    """A token of the namespace's default account, until ``expire`` is called with this name."""
    core, body = client.CoreV1Api(api), {"metadata": {"name": name}}
    secret = core.create_namespaced_secret(space, body)
    bound = {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret.metadata.uid}
    wanted = {"spec": {"audiences": [], "boundObjectRef": bound}}
    made = core.create_namespaced_service_account_token("default", space, wanted)
    return str(made.status.token)


def expire(api: client.ApiClient, space: str, name: str) -> None:
    """The token is refused, as an expired one: within the 10 s that the API server remembers it."""
    client.CoreV1Api(api).delete_namespaced_secret(name, space)


def _pods_cgroups(lab: Lab, machine: Machine) -> list[Path]:
    root = f"/ebb-lab-{lab.name}{machine.cgroup}/kubepods"
    return [path for path in namespace.cgroups(lab) if root in str(path)]


def _lower_limit(cgroup: Path) -> None:
    """To what is used and a little more."""
    old = (cgroup / "memory.usage_in_bytes").exists()
    usage, limit = (
        ("memory.usage_in_bytes", "memory.limit_in_bytes")
        if old
        else ("memory.current", "memory.max")
    )
    wanted = int((cgroup / usage).read_text()) + _SLACK_BYTES
    (cgroup / limit).write_text(str(wanted))


def _is_memory_of(cgroup: Path, container: str) -> bool:
    return cgroup.name == container and any((cgroup / usage).exists() for usage, _ in _MEMORY)


def _pids(cgroups: list[Path]) -> set[int]:
    """Everything that runs in them."""
    found: set[int] = set()
    for cgroup in cgroups:
        with contextlib.suppress(OSError):
            found.update(int(pid) for pid in (cgroup / "cgroup.procs").read_text().split())
    return found
