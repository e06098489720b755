"""What the lab needs from Debian, and whether this machine and this user can carry a lab."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping

from tests.kubernetes.lab.binaries import Say

PACKAGES = {
    "catatonit": "catatonit",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "busybox": "busybox-static",
    "mmdebstrap": "mmdebstrap",
    "unshare": "util-linux",
}
"""Command: package. The CNI's plugins (containernetworking-plugins) are not on the PATH."""
NETWORK_POLICIES = {"ipset": "ipset"}
"""For what enforces NetworkPolicies, where a test asks for it."""
_CNI = "/usr/lib/cni/bridge"
_TIMEOUT_S = 900


def obstacle() -> str:
    """Why there can be no lab here, in one line; empty when there can be one."""
    if os.geteuid() != 0:
        return "the lab needs root (or a cluster of your own: EBB_TEST_KUBECONFIG=path)"
    if shutil.which("go") is None:
        return "the lab needs Go 1.25 or newer (or a cluster of your own: EBB_TEST_KUBECONFIG=path)"
    if missing() and shutil.which("apt-get") is None:
        return f"the lab needs {', '.join(missing())}, and this is no Debian to get them from"
    return ""


def missing(packages: Mapping[str, str] = PACKAGES) -> list[str]:
    """Packages that are not here yet."""
    wanted = [package for command, package in packages.items() if shutil.which(command) is None]
    return wanted + ([] if os.path.exists(_CNI) else ["containernetworking-plugins"])


def install(say: Say, packages: Mapping[str, str] = PACKAGES) -> None:
    """Install what is missing.

    Raises:
        RuntimeError: with apt's last lines.
    """
    wanted = missing(packages)
    if not wanted:
        return
    say(f"install {' '.join(wanted)} (a minute)")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted]
    for words in (["apt-get", "update", "-qq"], install):
        done = subprocess.run(
            words, env=quiet, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"apt-get could not install {' '.join(wanted)}: {done.stderr[-1000:]}")
