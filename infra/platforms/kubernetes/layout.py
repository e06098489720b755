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

PORT, PAGE_PORT, READY_PORT = 8786, 8787, 8788
"""Of every head: no other cluster is in its pod. Workers and head say on the last whether they are
ready."""

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
    )


def head(service: str) -> MemberAddress:
    """Where the head listens: for its members by its pod's address, for a port-forward by loopback.

    ``service`` is the name by which the others find it.
    """
    return MemberAddress(
        bind="0.0.0.0",
        host=service,
        port=PORT,
        page_port=PAGE_PORT,
        page_hosts=LOOPBACK_PAGE_HOSTS,
        ready_port=READY_PORT,
    )


def worker() -> MemberAddress:
    """Where each worker listens."""
    pod = f"$({POD_IP})"
    return MemberAddress(bind=pod, host=pod, ready_port=READY_PORT)


def literal(text: str) -> str:
    """A text of the user's as it must be written where the kubelet fills in variables."""
    return text.replace("$(", "$$(")
