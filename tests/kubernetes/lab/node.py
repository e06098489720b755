"""The real nodes: containerd, kubelet and kube-proxy, cluster DNS and metrics-server.

DNS and metrics-server run beside it as plain processes; Services without selectors lead there.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from kubernetes import client, config

from tests.helpers import wait_until
from tests.kubernetes.lab import binaries, control_plane, images, metrics_api, namespace, parts
from tests.kubernetes.lab.place import (
    DNS_ADDRESS,
    FIRST,
    NODE,
    PODS,
    REAL,
    SECOND,
    Lab,
    Machine,
)

_READY_TIMEOUT_S = 120
_SPACE = "kube-system"
RESERVED = {"key": "ebb.lab/reserved", "value": "yes", "effect": "NoSchedule"}

_CONTAINERD = """
version = 2
root = "{folder}/{containerd}"
state = "/run/{containerd}"
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without this, a machine that may not lower these scores starts no sandbox at all.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""

_COREFILE = """
.:53 {{
    bind {address}
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
    }}
}}
"""


def start(lab: Lab) -> None:
    """Start what does not run, and wait until the node is ready."""
    began = time.monotonic()
    _write_settings(lab)
    _start_containerd(lab, FIRST)
    images.import_into(lab, images.build_for_tests())
    parts.start(lab, FIRST.kubelet, _kubelet(lab, FIRST))
    parts.start(lab, "kube-proxy", _kube_proxy(lab))
    parts.start(lab, "coredns", [str(binaries.find("coredns")), "-conf", f"{lab.folder}/Corefile"])
    parts.start(lab, "metrics-server", _metrics_server(lab))
    with config.new_client_from_config(str(lab.kubeconfig)) as api:
        _serve_names(api, lab)
        if not control_plane.ask(lab, metrics_api.REGISTRATION):
            metrics_api.use(api, lab.address, "real")
        wait_until(lambda: ready(api), _READY_TIMEOUT_S, f"the node is ready: {lab.folder}/logs")
    lab.times_s["real node"] = time.monotonic() - began


def start_second(lab: Lab, api: client.ApiClient) -> None:
    """The same of a second node, which has the first one's network; images are copied to it."""
    _start_containerd(lab, SECOND)
    for image in (images.PAUSE, images.BUSYBOX):
        images.copy(lab, image, SECOND)
    parts.start(lab, SECOND.kubelet, _kubelet(lab, SECOND))
    why = f"the second node is ready: {lab.folder}/logs"
    wait_until(lambda: ready(api, SECOND), _READY_TIMEOUT_S, why)


def boot(lab: Lab, api: client.ApiClient, machine: Machine) -> None:
    """Start the kubelet of a node that was lost."""
    parts.start(lab, machine.kubelet, _kubelet(lab, machine))
    wait_until(lambda: ready(api, machine), _READY_TIMEOUT_S, f"{machine.name} is ready again")


def ready(api: client.ApiClient, machine: Machine = FIRST) -> bool:
    """Whether the API server takes a node for ready."""
    nodes = client.CoreV1Api(api).list_node(field_selector=f"metadata.name={machine.name}").items
    conditions = [each for node in nodes for each in node.status.conditions or ()]
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


def unreachable(api: client.ApiClient, machine: Machine = FIRST) -> bool:
    """Whether the node controller has given a node up for now."""
    taints = client.CoreV1Api(api).read_node(machine.name).spec.taints or ()
    return any(taint.key == "node.kubernetes.io/unreachable" for taint in taints)


def use_its_metrics(lab: Lab, api: client.ApiClient) -> None:
    """Let the HPA see what the kubelet measures instead of what simulated pods say."""
    metrics_api.use(api, lab.address, "real")
    path = "/apis/metrics.k8s.io/v1beta1/nodes"
    wait_until(lambda: NODE in control_plane.ask(lab, path), _READY_TIMEOUT_S, "it has figures")


def _start_containerd(lab: Lab, machine: Machine) -> None:
    settings = lab.folder / f"{machine.containerd}.toml"
    where = {"folder": lab.folder, "containerd": machine.containerd, "socket": machine.socket}
    settings.write_text(_CONTAINERD.format(**where, pause=images.PAUSE))
    (lab.folder / f"{machine.kubelet}.json").write_text(json.dumps(_settings(lab, machine)))
    _make_cgroups(lab, machine)
    parts.start(lab, machine.containerd, ["containerd", "--config", str(settings)])
    wait_until(lambda: _socket_exists(lab, machine), _READY_TIMEOUT_S, "containerd answers")


def _write_settings(lab: Lab) -> None:
    folder = lab.folder
    (folder / "cni").mkdir(exist_ok=True)
    (folder / "cni" / "10-bridge.conflist").write_text(json.dumps(_network(lab)))
    (folder / "resolv.conf").write_text("")
    kubeconfig = folder / "keys" / "simulator.kubeconfig"
    corefile = _COREFILE.format(address=lab.address, kubeconfig=kubeconfig)
    (folder / "Corefile").write_text(corefile)


def _network(lab: Lab) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "dataDir": str(lab.folder / "addresses"),
        "ranges": [[{"subnet": PODS}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": ipam}
    hairpin = {**bridge, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "lab", "plugins": [hairpin, ports]}


def _settings(lab: Lab, machine: Machine) -> dict[str, Any]:
    keys = lab.folder / "keys"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(keys / "ca.crt")}},
        "tlsCertFile": str(keys / "node.crt"),
        "tlsPrivateKeyFile": str(keys / "node.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/ebb-lab-{lab.name}{machine.cgroup}",
        "containerRuntimeEndpoint": f"unix://{machine.socket}",
        "port": machine.port,
        "healthzPort": machine.port - 2,
        "podLogsDir": f"/var/log/pods{machine.suffix}",
        "failSwapOn": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(lab.folder / "resolv.conf"),
        # The disk is the machine's own, and often nearly full.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # No test finds its pods there that does not ask for it.
        "registerWithTaints": [] if machine == FIRST else [RESERVED],
    }


def _kubelet(lab: Lab, machine: Machine) -> list[str]:
    return [
        str(binaries.find("kubelet")),
        f"--config={lab.folder}/{machine.kubelet}.json",
        f"--kubeconfig={lab.folder}/keys/{machine.kubelet}.kubeconfig",
        f"--hostname-override={machine.name}",
        f"--node-ip={lab.address}",
        f"--node-labels={REAL}=yes",
        f"--root-dir={lab.folder}/{machine.kubelet}",
    ]


def _kube_proxy(lab: Lab) -> list[str]:
    return [
        str(binaries.find("kube-proxy")),
        f"--kubeconfig={lab.folder / 'keys' / 'proxy.kubeconfig'}",
        f"--hostname-override={NODE}",
        f"--cluster-cidr={PODS}",
        "--proxy-mode=iptables",
        "--conntrack-max-per-core=0",  # the machine's own setting; not the lab's to change
        "--conntrack-tcp-timeout-established=0s",
        "--conntrack-tcp-timeout-close-wait=0s",
    ]


def _metrics_server(lab: Lab) -> list[str]:
    kubeconfig = lab.folder / "keys" / "simulator.kubeconfig"
    return [
        str(binaries.find("metrics-server")),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        f"--secure-port={metrics_api.PORTS['real']}",
        f"--cert-dir={lab.folder / 'metrics-server'}",
        "--kubelet-insecure-tls",
        "--kubelet-use-node-status-port",
        "--kubelet-preferred-address-types=InternalIP",
        # It refuses a resolution that is not clearly above the timeout.
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]


def _make_cgroups(lab: Lab, machine: Machine) -> None:
    """The kubelet wants its root to exist in every hierarchy."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2") and not where.endswith("unified"):
            root = Path(f"{where}/ebb-lab-{lab.name}{machine.cgroup}")
            root.mkdir(parents=True, exist_ok=True)


def _socket_exists(lab: Lab, machine: Machine) -> bool:
    words = ["sh", "-c", f"test -S {machine.socket} && echo yes || true"]
    return "yes" in namespace.run_inside(lab, words)


def _serve_names(api: client.ApiClient, lab: Lab) -> None:
    """The Service that pods ask for names; behind it is CoreDNS on the lab's own address."""
    ports = [{"name": name.lower(), "port": 53, "protocol": name} for name in ("UDP", "TCP")]
    meta = {"name": "kube-dns", "namespace": _SPACE}
    core, discovery = client.CoreV1Api(api), client.DiscoveryV1Api(api)
    if core.list_namespaced_service(_SPACE, field_selector="metadata.name=kube-dns").items:
        return
    service = {"metadata": meta, "spec": {"clusterIP": DNS_ADDRESS, "ports": ports}}
    core.create_namespaced_service(_SPACE, service)
    slice_ = {
        "metadata": {**meta, "labels": {"kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [lab.address], "conditions": {"ready": True}}],
        "ports": ports,
    }
    discovery.create_namespaced_endpoint_slice(_SPACE, slice_)
