"""Ray's command lines, environment and answers. Does not import Ray: it costs time and memory."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import secrets
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import Problem
from ebbtide.infra.files.private import write_whole
from ebbtide.infra.frameworks.base import (
    ClusterPlan,
    FrameworkStatus,
    HeadInfo,
    ProcessSpec,
)
from ebbtide.infra.frameworks.door import write_secret
from ebbtide.infra.frameworks.heads import ask_status, published
from ebbtide.infra.frameworks.interpreters import mismatch
from ebbtide.infra.frameworks.ray.sizes import HEAD_STORE_BYTES, store_bytes, task_bytes, too_small
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_HERE = Path(__file__).parent
_HEAD_TIMEOUT_S = 120.0
_NO_PORT = 99999
"""Ray goes on without a server that cannot listen; it has no word for not wanting one (2.60)."""


class Ray:
    """See ``infra.frameworks.base.Framework``."""

    name = "ray"

    def problems(self) -> list[Problem]:
        """Ray missing from this Python."""
        if importlib.util.find_spec("ray"):
            return []
        summary = f"Ray is not installed for {sys.executable}"
        return [Problem(Reason.FRAMEWORK_MISSING, summary, 'pip install "ebbtide[ray]"')]

    def found(self) -> str:
        """Ray's version."""
        return f"ray {version('ray')}"

    def refusals(self, spec: ClusterSpec, job: JobSpec | None) -> list[Problem]:
        """A tier that is too small; a program with another Python: Ray wants it the same."""
        return [*too_small(spec), *mismatch(job, "ray", python_parts=3)]

    def prepare(self, plan: ClusterPlan) -> None:
        """The token without which nobody can talk to the cluster, and the secret of its front."""
        write_secret(plan.folder)
        token = plan.folder / "ray.token"
        if not token.exists():
            write_whole(token, secrets.token_hex(32))
        for name in ("spill", "tmp"):
            (plan.folder / name).mkdir(exist_ok=True)

    def head(self, plan: ClusterPlan) -> ProcessSpec:
        """The node with the GCS and the dashboard; it runs no tasks."""
        settings = {
            **_common(plan, "head"),
            "object_store_bytes": HEAD_STORE_BYTES,
        }
        argv = (sys.executable, "-P", "-m", f"{__package__}.head", json.dumps(settings))
        return ProcessSpec(argv=argv, env={**_environment(plan), **_scratch(plan)})

    def worker(self, plan: ClusterPlan, name: str) -> ProcessSpec:
        """One node, sized by its tier."""
        tier = plan.spec.tier
        settings = {
            **_common(plan, name),
            "num_cpus": tier.threads,
            "memory_bytes": task_bytes(tier),
            "object_store_bytes": store_bytes(tier),
            "head_timeout_s": _HEAD_TIMEOUT_S,
        }
        argv = (sys.executable, "-P", "-m", f"{__package__}.worker", json.dumps(settings))
        env = {
            **_environment(plan),
            **_scratch(plan),
            "RAY_CLOUD_INSTANCE_ID": name,  # by which the head's answers name it
        }
        return ProcessSpec(argv=argv, env=env)

    def find_head(self, plan: ClusterPlan) -> HeadInfo | None:
        """What the head wrote once the GCS had answered."""
        return published(plan.folder)

    def status(self, head: HeadInfo) -> FrameworkStatus | None:
        """Asked over HTTP on loopback."""
        return ask_status(head)

    def driver_env(self, plan: ClusterPlan, head: HeadInfo) -> dict[str, str]:
        """``ray.init()`` without arguments reads the first of these."""
        host, _, port = head.address.rpartition(":")
        return {
            "RAY_ADDRESS": head.address,
            "RAY_HEAD_SERVICE_HOST": host,
            "RAY_HEAD_SERVICE_PORT": port,
            **_environment(plan),
        }

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """What ``ray.init`` gives."""
        return importlib.import_module("ebbtide.infra.frameworks.ray.client").connect(
            address, environment
        )

    def hello(self) -> tuple[str, ...]:
        """Estimates pi."""
        return (sys.executable, str(_HERE / "hello.py"))


def _common(plan: ClusterPlan, name: str) -> dict[str, Any]:
    """A temporary folder each (two nodes in one collide), by a path short enough for sockets."""
    return {
        "folder": str(plan.folder),
        "temp_dir": str((plan.short_folder or plan.folder) / name),
        "import_path": os.pathsep.join(plan.import_path),
    }


def _scratch(plan: ClusterPlan) -> dict[str, str]:
    """Ray's processes, and tasks, leave temporary files when they are killed: they go with it."""
    return {"TMPDIR": str((plan.short_folder or plan.folder) / "tmp")}


def _environment(plan: ClusterPlan) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(plan.folder / "ray.token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's servers for Prometheus ask nobody for the token, and show the names of tasks.
        "RAY_enable_metrics_collection": "0",
        "DASHBOARD_METRIC_PORT": str(_NO_PORT),
        # Off, in spite of its name on Linux too: Ray then takes 127.0.0.1 as it is instead of
        # replacing it by the machine's address, and every one of its servers stays on loopback.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
