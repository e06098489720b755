"""The metrics API for simulated pods: ``python -m tests.kubernetes.lab.metrics_api LAB-FOLDER``.

A pod uses what its annotations say, at once and exactly, so that a test can tell the HPA what to
see. Metrics of real pods come from metrics-server; ``use`` decides which of the two is asked.
"""

from __future__ import annotations

import json
import ssl
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.lab.place import find

CPU, MEMORY = "kwok.x-k8s.io/usage-cpu", "kwok.x-k8s.io/usage-memory"
PORTS = {"simulated": 8443, "real": 4443}
REGISTRATION = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
_PREFIX = "/apis/metrics.k8s.io/v1beta1"
_SERVICE, _SPACE = "lab-metrics", "kube-system"
_CONFLICT, _NOT_FOUND = 409, 404


def use(api: client.ApiClient, address: str, source: str) -> None:
    """Let the API server ask the ``simulated`` or the ``real`` source of metrics."""
    core, discovery = client.CoreV1Api(api), client.DiscoveryV1Api(api)
    ports = [{"name": "https", "port": 443, "targetPort": PORTS[source]}]
    meta = {"name": _SERVICE, "namespace": _SPACE}
    service = {"metadata": meta, "spec": {"ports": ports}}
    make(core.create_namespaced_service, core.patch_namespaced_service, service)
    slice_ = {
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": _SERVICE}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": PORTS[source]}],
    }
    patch = discovery.patch_namespaced_endpoint_slice
    make(discovery.create_namespaced_endpoint_slice, patch, slice_)
    registration = {
        "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": _SERVICE, "namespace": _SPACE},
        },
    }
    try:
        client.ApiregistrationV1Api(api).create_api_service(registration)
    except ApiException as error:
        if error.status != _CONFLICT:
            raise


def make(create: Any, patch: Any, body: dict[str, Any]) -> None:
    """Change an object of ``kube-system``, or create it where there is none."""
    try:
        patch(body["metadata"]["name"], _SPACE, body)
    except ApiException as error:
        if error.status != _NOT_FOUND:
            raise
        create(_SPACE, body)


class Answers:
    """What the metrics API says, read from the pods' annotations when asked."""

    def __init__(self, core: client.CoreV1Api):
        self._core = core

    def answer(self, path: str, selector: str) -> dict[str, Any] | None:
        """The object at this path; None where there is none."""
        rest = path.removeprefix(_PREFIX).strip("/").split("/")
        if rest == [""]:
            return _resources()
        if rest == ["nodes"]:
            return {"kind": "NodeMetricsList", "items": [], **_version()}
        if rest == ["pods"]:
            return self._pods(self._core.list_pod_for_all_namespaces(label_selector=selector))
        if len(rest) == len(("namespaces", "NAME", "pods")) and rest[2] == "pods":
            return self._pods(self._core.list_namespaced_pod(rest[1], label_selector=selector))
        return None

    @staticmethod
    def _pods(found: client.V1PodList) -> dict[str, Any]:
        items = [_usage(pod) for pod in found.items if pod.status.phase == "Running"]
        return {"kind": "PodMetricsList", "items": items, **_version()}


def _usage(pod: client.V1Pod) -> dict[str, Any]:
    said = pod.metadata.annotations or {}
    usage = {"cpu": said.get(CPU, "0"), "memory": said.get(MEMORY, "0")}
    first, *others = [container.name for container in pod.spec.containers]
    nothing = [{"name": name, "usage": {"cpu": "0", "memory": "0"}} for name in others]
    return {
        "metadata": {"name": pod.metadata.name, "namespace": pod.metadata.namespace},
        "timestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "window": "1s",  # so that the figures of a fresh pod count at once
        "containers": [{"name": first, "usage": usage}, *nothing],
    }


def _version() -> dict[str, Any]:
    return {"apiVersion": "metrics.k8s.io/v1beta1", "metadata": {}}


def _resources() -> dict[str, Any]:
    def resource(name: str, kind: str, namespaced: bool) -> dict[str, Any]:
        what = {"name": name, "singularName": "", "kind": kind, "namespaced": namespaced}
        return {**what, "verbs": ["get", "list"]}

    pods, nodes = resource("pods", "PodMetrics", True), resource("nodes", "NodeMetrics", False)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [pods, nodes],
    }


def main(folder: Path) -> None:
    """Serve until ended. Only the API server's front proxy is let in."""
    keys = folder / "keys"
    api = config.new_client_from_config(str(keys / "simulator.kubeconfig"))
    answers = Answers(client.CoreV1Api(api))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            selector = parse_qs(asked.query).get("labelSelector", [""])[0]
            found = answers.answer(asked.path, selector)
            body = json.dumps(found or {}).encode()
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the HPA asks every few seconds."""

    address = find(folder.name).address
    server = ThreadingHTTPServer((address, PORTS["simulated"]), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "node.crt", keys / "node.key")
    context.load_verify_locations(keys / "front-proxy-ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    use(api, address, "simulated")
    server.serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
