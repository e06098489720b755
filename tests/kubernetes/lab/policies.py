"""NetworkPolicies that are enforced: kube-router's firewall alone, on the network that the lab has.

Nothing of a lab enforces them by itself; a test that wants it asks for it, and pays for its build.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tests.helpers import wait_until
from tests.kubernetes.lab import binaries, debian, namespace, parts
from tests.kubernetes.lab.place import NODE, SERVICES, Lab

ENFORCER = "kube-router"
_TIMEOUT_S = 60
_CHAINS = "KUBE-ROUTER-|KUBE-POD-FW-|KUBE-NWPLCY-"
_FORGET = f"""
set -e
iptables-save -t filter | grep -vE '{_CHAINS}' | iptables-restore
ipset destroy
"""
"""Every rule of it, and those that lead there; what kube-proxy has made stays."""


@contextlib.contextmanager
def enforced(lab: Lab, say: binaries.Say) -> Iterator[None]:
    """They are enforced on the lab's node; afterwards nothing of it is left."""
    debian.install(say, debian.NETWORK_POLICIES)
    binaries.build(binaries.NETWORK_POLICIES, say)
    parts.start(lab, ENFORCER, _words(lab))
    try:
        wait_until(lambda: _rules(lab), _TIMEOUT_S, f"{ENFORCER} begins: {lab.folder}/logs")
        yield
    finally:
        if parts.pid_of(lab, ENFORCER):
            parts.kill(lab, ENFORCER)
        namespace.run_inside(lab, ["sh", "-c", _FORGET])
    assert not _rules(lab)


def has_rules_for(lab: Lab, address: str) -> bool:
    """Whether somebody decides who may connect to a pod."""
    return any(f"-d {address}/32" in rule for rule in _rules(lab))


def _rules(lab: Lab) -> list[str]:
    said = namespace.run_inside(lab, ["iptables-save", "-t", "filter"])
    return [line for line in said.splitlines() if "-j KUBE-POD-FW-" in line or "-ROUTER-" in line]


def _words(lab: Lab) -> list[str]:
    return [
        str(binaries.find(ENFORCER)),
        f"--kubeconfig={lab.folder / 'keys' / 'simulator.kubeconfig'}",
        f"--hostname-override={NODE}",
        f"--service-cluster-ip-range={SERVICES}",
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        "--enable-cni=false",
        "--health-port=0",
    ]
