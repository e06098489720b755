"""Where head, workers and driver find things and listen when each is a pod of its own.

A pod's address and name are known when it runs: the kubelet fills them in for ``$(POD_IP)`` and
``$(POD_NAME)``, which frameworks take as they are.
"""

from __future__ import annotations

from pathlib import PurePath

from ebbtide.infra.frameworks.plan import MemberAddress, MemberPaths
from ebbtide.infra.platforms.base import LOOPBACK_PAGE_HOSTS

POD_IP, POD_NAME = "POD_IP", "POD_NAME"
"""Variables of every container, from the downward API."""

RUN_FOLDER = PurePath("/run/ebb")
SECRETS = RUN_FOLDER / "secrets"
HEAD_FOLDER = RUN_FOLDER / "head"
SCRATCH = RUN_FOLDER / "scratch"
ARTIFACTS = RUN_FOLDER / "artifacts"
TEMPORARY = PurePath("/tmp")
"""Writable where the root file system is not."""
HOME = RUN_FOLDER / "home"
CODE = RUN_FOLDER / "code"
"""The user's workdir, unpacked."""
MODULES = SCRATCH / "modules"
"""Code that came when the cluster was there already, each package in a folder of its own."""
OUTPUT = RUN_FOLDER / "output"
"""``EBB_OUTPUT_DIR``."""
LOG = RUN_FOLDER / "log"
"""The bounded copy of the program's output, and how it ended."""
DOOR = RUN_FOLDER / "door"
"""Of the cluster's secrets only that of its pages, for the container ``FILES``."""
PACKAGES = RUN_FOLDER / "packages"
"""Of the package store."""
SHARED_MEMORY = PurePath("/dev/shm")
TERMINATION = PurePath("/dev/termination-log")

PORT, PAGE_PORT, READY_PORT = 8786, 8787, 8788
"""Of every head: no other cluster is in its pod. Workers and head say on the last whether they are
ready, and the driver whether the program runs."""
PACKAGE_PORT = 8789
"""Of the package store."""
TUNNEL_PORT = 8790
"""Of the far end of tunnels, on the loopback of a head's pod (``inside.tunnel``)."""
FILES = "files"
"""The container beside head and driver."""

OUTPUT_BYTES = 64 * 2**20
"""Of each stream that a program prints, its pod keeps so much for whoever is away."""

_IMAGE_PYTHON = "/opt/ebb/venv/bin/python"
_IMAGE_FRAMEWORK = PurePath("/opt/ebb/framework")


def paths() -> MemberPaths:
    """The same in every pod of every cluster: they are mounted there."""
    return MemberPaths(
        python=_IMAGE_PYTHON,
        framework=_IMAGE_FRAMEWORK,
        secrets=SECRETS,
        scratch=SCRATCH,
        artifacts=ARTIFACTS,
        head_file=HEAD_FOLDER / "head.json",
        alone=True,
    )


def head(service: str) -> MemberAddress:
    """Where the head listens: for its members by its pod's address, for a port-forward by loopback.

    ``service`` is the name by which the others find it; Ray and Spark want an address of its own.
    """
    return MemberAddress(
        bind="0.0.0.0",
        host=f"$({POD_IP})",
        port=PORT,
        page_port=PAGE_PORT,
        page_hosts=(service, *LOOPBACK_PAGE_HOSTS),
        ready_port=READY_PORT,
    )


def worker() -> MemberAddress:
    """Where each worker listens."""
    pod = f"$({POD_IP})"
    return MemberAddress(bind=pod, host=pod, ready_port=READY_PORT)


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command line of a program of ``inside``, in the image."""
    return (_IMAGE_PYTHON, "-P", "-m", f"{__package__}.inside.{name}", *arguments)


def literal(text: str) -> str:
    """A text of the user's as it must be written where the kubelet fills in variables."""
    return text.replace("$(", "$$(")
