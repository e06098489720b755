"""etcd, API server, controller manager and scheduler: their settings, and when each one answers."""

from __future__ import annotations

import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.helpers import wait_until
from tests.kubernetes.lab import binaries, parts
from tests.kubernetes.lab.place import SERVICES, Lab

_ANSWER_TIMEOUT_S = 120
_ASK_TIMEOUT_S = 5

_SCHEDULER = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": False},
    # Up to 10 s otherwise, which is most of what growing from zero takes on simulated nodes.
    "podInitialBackoffSeconds": 1,
    "podMaxBackoffSeconds": 2,
}


def start(lab: Lab) -> None:
    """Start what does not run, each once the one before answers."""
    started_s = time.monotonic()
    parts.start(lab, "etcd", _etcd(lab))
    wait_until(lambda: _healthy(lab, "etcd"), _ANSWER_TIMEOUT_S, _why(lab, "etcd"))
    lab.times_s["etcd"] = time.monotonic() - started_s
    started_s = time.monotonic()
    parts.start(lab, "kube-apiserver", _api_server(lab))
    wait_until(lambda: ready(lab), _ANSWER_TIMEOUT_S, _why(lab, "kube-apiserver"))
    lab.times_s["kube-apiserver"] = time.monotonic() - started_s
    parts.start(lab, "kube-controller-manager", _controller_manager(lab))
    parts.start(lab, "kube-scheduler", _scheduler(lab))


def ready(lab: Lab) -> bool:
    """Whether the API server says that it is ready."""
    return ask(lab, "/readyz") == "ok"


def ask(lab: Lab, path: str) -> str:
    """What the API server answers the administrator; empty when it does not."""
    keys = lab.folder / "keys"
    context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
    context.load_cert_chain(keys / "admin.crt", keys / "admin.key")
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with direct.open(f"{lab.server}{path}", timeout=_ASK_TIMEOUT_S) as answer:
            return str(answer.read().decode())
    except (urllib.error.URLError, OSError):
        return ""


def _healthy(lab: Lab, part: str) -> bool:
    """As its log says: it listens on the lab's own loopback, which is not ours."""
    return "ready to serve client requests" in parts.tail(lab, part, 200)


def _why(lab: Lab, part: str) -> str:
    return f"{part} answers; its log: {parts.log_of(lab, part)}"


def _etcd(lab: Lab) -> list[str]:
    return [
        str(binaries.find("etcd")),
        f"--data-dir={lab.folder / 'etcd'}",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # a lab that loses its machine is made anew
    ]


def _api_server(lab: Lab) -> list[str]:
    keys = lab.folder / "keys"
    return [
        str(binaries.find("kube-apiserver")),
        "--etcd-servers=http://127.0.0.1:2379",
        "--secure-port=6443",
        f"--advertise-address={lab.address}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--tls-cert-file={keys / 'server.crt'}",
        f"--tls-private-key-file={keys / 'server.key'}",
        f"--client-ca-file={keys / 'ca.crt'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={keys / 'service-accounts.key'}",
        f"--service-account-signing-key-file={keys / 'service-accounts.key'}",
        f"--kubelet-client-certificate={keys / 'kubelet-client.crt'}",
        f"--kubelet-client-key={keys / 'kubelet-client.key'}",
        # A node's name need not resolve; logs and exec go to its address.
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-aggregator-routing=true",
        f"--requestheader-client-ca-file={keys / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={keys / 'front-proxy.crt'}",
        f"--proxy-client-key-file={keys / 'front-proxy.key'}",
    ]


def _controller_manager(lab: Lab) -> list[str]:
    keys = lab.folder / "keys"
    return [
        str(binaries.find("kube-controller-manager")),
        f"--kubeconfig={keys / 'controller-manager.kubeconfig'}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={keys / 'ca.crt'}",
        f"--service-account-private-key-file={keys / 'service-accounts.key'}",
        # Quick for tests. A busy machine must not make nodes look lost: hence the last one.
        "--horizontal-pod-autoscaler-sync-period=3s",
        "--horizontal-pod-autoscaler-downscale-stabilization=10s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        "--node-monitor-grace-period=120s",
    ]


def _scheduler(lab: Lab) -> list[str]:
    kubeconfig = str(lab.folder / "keys" / "scheduler.kubeconfig")
    config: dict[str, object] = {**_SCHEDULER, "clientConnection": {"kubeconfig": kubeconfig}}
    return [
        str(binaries.find("kube-scheduler")),
        f"--config={_write(lab.folder / 'scheduler.json', config)}",
    ]


def _write(path: Path, config: object) -> Path:
    path.write_text(json.dumps(config, indent=1))
    return path
