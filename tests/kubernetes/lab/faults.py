"""Switches for tests: what goes wrong with a Kubernetes, on order and back again."""

from __future__ import annotations

import contextlib
import signal
import socket
import socketserver
import threading
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


@contextlib.contextmanager
def delayed(lab: Lab, seconds: float) -> Iterator[str]:
    """A second address of the API server, on loopback, whose every answer comes so much later.

    A relay, because the kernels of small machines often lack the queue that delays packets.
    """

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((lab.address, 6443)) as server:
                back = threading.Thread(target=_pump, args=(server, self.request, seconds))
                back.start()
                _pump(self.request, server, 0)
                back.join()

    with _Relays(("127.0.0.1", 0), Relay) as relays:
        threading.Thread(target=relays.serve_forever, daemon=True).start()
        yield f"https://127.0.0.1:{relays.server_address[1]}"
        relays.shutdown()


class _Relays(socketserver.ThreadingTCPServer):
    daemon_threads = True


def _pump(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    tick = threading.Event()
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            tick.wait(delay_s)
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


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
