"""Ray's command lines, environment and answers. Does not import Ray: it costs time and memory."""

from __future__ import annotations

import importlib
import importlib.util
import ipaddress
import json
import secrets
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import FrameworkStatus, HeadInfo, PodTemplates, ProcessSpec
from ebbtide.infra.frameworks.door import SECRET_FILE, new_secret
from ebbtide.infra.frameworks.heads import ask_status
from ebbtide.infra.frameworks.interpreters import mismatch
from ebbtide.infra.frameworks.plan import (
    ClusterPlan,
    MemberAddress,
    MemberPaths,
    SecretFile,
    head_settings,
    worker_settings,
)
from ebbtide.infra.frameworks.ray.sizes import (
    HEAD_STORE_BYTES,
    MIN_TASK_BYTES,
    shared_bytes,
    store_bytes,
    task_bytes,
    too_small,
)
from ebbtide.infra.frameworks.ray.variables.foreign import foreign
from ebbtide.infra.frameworks.ray.variables.unreadable import unreadable
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.demand import Amounts
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_TOKEN_FILE = "ray.token"
_ALONE = "n"
"""A temporary folder's name where the names of pods would be too long for sockets."""
_NO_PORT = 99999
"""Ray goes on without a server that cannot listen; it has no word for not wanting one (2.60)."""
_STAYS_ON_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Off, in spite of its name on Linux too: Ray then takes a loopback address as it is instead of
replacing it by the machine's address, and every one of its servers stays on loopback."""

_PATIENT = {"RAY_agent_register_timeout_ms": "90000"}
"""A raylet ends when its agents are late (2.60): so they are where a head, a worker and a program's
node start at once on two cores."""
_PATIENT_PAGE = {"RAY_DASHBOARD_STARTUP_TIMEOUT_S": "600"}
"""Nothing waits for the dashboard; Ray's 60 s are short for it where all else goes first."""
_KEEPS_REQUESTS = {"RAY_enable_autoscaler_v2": "1"}
"""The GCS then keeps what ``request_resources`` asks for where it tells what else waits."""


class Ray:
    """See ``infra.frameworks.base.Framework``."""

    name = "ray"
    package = "ray"
    python_parts = 3
    templates_from = ""
    connect = "ray.init() without arguments"
    late_s = 3.0  # drivers and workers report once a second, and the head looks at that
    history = ""
    on_pods = True
    no_distant_client = "a Ray program is a node of its cluster, beside the others"
    distinct_hosts = False

    def problems(self, python: str) -> list[Problem]:
        """Ray missing from this Python."""
        if importlib.util.find_spec(self.package):
            return []
        summary = f"Ray is not installed for {python}"
        return [Problem(Reason.FRAMEWORK_MISSING, summary, 'pip install "ebbtide[ray]"')]

    def found(self) -> str:
        """Ray's version."""
        return f"ray {version('ray')}"

    def refusals(
        self, spec: ClusterSpec, job: JobSpec | None, python: str, environ: Mapping[str, str]
    ) -> list[Problem]:
        """A tier that is too small, another Python than Ray wants, settings it cannot read."""
        return [
            *too_small(spec),
            *mismatch(job, self.package, python, python_parts=self.python_parts),
            *unreadable(environ, python),
        ]

    def too_small(self, spec: ClusterSpec) -> list[Problem]:
        """Tiers that cannot hold a Ray node."""
        return too_small(spec)

    def foreign(self, environ: Iterable[str]) -> frozenset[str]:
        """Of Ray's own."""
        return foreign(environ)

    def prepare(self, plan: ClusterPlan) -> tuple[SecretFile, ...]:
        """The token without which nobody can talk to the cluster, and the secret of its front."""
        del plan
        token = SecretFile(_TOKEN_FILE, secrets.token_hex(32))
        return token, SecretFile(SECRET_FILE, new_secret())

    def head(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec:
        """The node with the GCS and the dashboard; it runs no tasks."""
        settings = {
            **head_settings(plan, at),
            "temp_dir": _temporary_folder(plan, "head"),
            "object_store_bytes": HEAD_STORE_BYTES,
            "offer": self.offer(plan.spec),
        }
        argv = _argv(plan.paths.python, "head", json.dumps(settings))
        env = {**_environment(plan, at), **_KEEPS_REQUESTS, **_PATIENT_PAGE}
        return ProcessSpec(argv=argv, env=env, not_for_tasks=_scratch(plan))

    def address(self, host: str, port: int) -> str:
        """As its workers and its driver want it."""
        return f"{host}:{port}"

    def worker(self, plan: ClusterPlan, name: str, at: MemberAddress) -> ProcessSpec:
        """One node, sized by its tier."""
        tier = plan.spec.tier
        settings = {
            **_node_settings(plan, name, at, tier),
            "num_cpus": tier.threads,
            "num_gpus": tier.resources.gpus,
            "memory_bytes": task_bytes(tier),
        }
        # The variable is that by which the head's answers name it.
        env = {**_environment(plan, at), "RAY_CLOUD_INSTANCE_ID": name}
        argv = _argv(plan.paths.python, "worker", json.dumps(settings))
        return ProcessSpec(argv=argv, env=env, not_for_tasks=_scratch(plan))

    def pod_templates(self, cluster: ClusterId, image: str) -> PodTemplates:
        """None of its own."""
        del cluster, image
        return PodTemplates()

    def beside(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec:
        """A node without CPUs. It has no name, so that the head does not take it for a worker."""
        settings = {
            **_node_settings(plan, "driver", at, plan.spec.head_tier),
            "num_cpus": 0,
            "num_gpus": 0,
            "memory_bytes": MIN_TASK_BYTES,
        }
        argv = _argv(plan.paths.python, "beside", json.dumps(settings))
        return ProcessSpec(argv=argv, env=_environment(plan, at), not_for_tasks=_scratch(plan))

    def shared_memory_bytes(self, spec: ClusterSpec, role: str) -> int:
        """That of its objects."""
        if role == "head":
            return shared_bytes(HEAD_STORE_BYTES)
        return shared_bytes(store_bytes(spec.tier if role == "worker" else spec.head_tier))

    def status(self, head: HeadInfo, hosts: Mapping[str, str]) -> FrameworkStatus | None:
        """Asked over HTTP; the GCS knows the workers' names."""
        del hosts
        return ask_status(head)

    def offer(self, spec: ClusterSpec) -> Amounts:
        """What a node declares to Ray's scheduler."""
        tier = spec.tier
        return {"CPU": tier.threads, "memory": task_bytes(tier), **tier.gpu_offer}

    def driver_env(self, plan: ClusterPlan, at: MemberAddress, head: HeadInfo) -> dict[str, str]:
        """``ray.init()`` without arguments reads the first of these."""
        host, _, port = head.address.rpartition(":")
        return {
            "RAY_ADDRESS": head.address,
            "RAY_HEAD_SERVICE_HOST": host,
            "RAY_HEAD_SERVICE_PORT": port,
            **_environment(plan, at),
        }

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """What ``ray.init`` gives."""
        return importlib.import_module("ebbtide.infra.frameworks.ray.client").connect(
            address, environment
        )

    def hello(self, python: str) -> tuple[str, ...]:
        """Estimates pi."""
        return _argv(python, "hello")

    def history_server(self, paths: MemberPaths, at: MemberAddress) -> None:
        """None: its session logs are texts."""


def _argv(python: str, module: str, *arguments: str) -> tuple[str, ...]:
    return (python, "-P", "-m", f"{__package__}.{module}", *arguments)


def _node_settings(
    plan: ClusterPlan, name: str, at: MemberAddress, tier: HardwareTier
) -> dict[str, Any]:
    return {
        **worker_settings(plan, name, at),
        "temp_dir": _temporary_folder(plan, name),
        "object_store_bytes": store_bytes(tier),
    }


def _temporary_folder(plan: ClusterPlan, name: str) -> str:
    """One each (two nodes in one collide), by a path short enough for sockets."""
    return str(plan.paths.sockets / (_ALONE if plan.paths.alone else name))


def _scratch(plan: ClusterPlan) -> dict[str, str]:
    """Ray's processes leave temporary files when they are killed: they go with the cluster.

    So do those of tasks, where the user has not said where they shall be.
    """
    return {"TMPDIR": str(plan.paths.sockets)}


def _environment(plan: ClusterPlan, at: MemberAddress) -> dict[str, str]:
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(plan.paths.secrets / _TOKEN_FILE),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's servers for Prometheus ask nobody for the token, and show the names of tasks.
        "RAY_enable_metrics_collection": "0",
        "DASHBOARD_METRIC_PORT": str(_NO_PORT),
        **_PATIENT,
        **(_STAYS_ON_LOOPBACK if _is_loopback(at.host) else {}),
    }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or what is filled in where the member starts
        return False
