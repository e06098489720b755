"""Dask's command lines, environment and answers. Does not import Dask: it costs time and memory."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.base import FrameworkStatus, HeadInfo, PodTemplates, ProcessSpec
from ebbtide.infra.frameworks.certificates import CERTIFICATE, KEY, new_certificate
from ebbtide.infra.frameworks.dask.configuration import (
    ADDRESS,
    DRIVER,
    FILES,
    WORKERS,
    refused,
    tls,
)
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
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.demand import Amounts
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_USUAL_DASHBOARD_PORT = 8787


class Dask:
    """See ``infra.frameworks.base.Framework``."""

    name = "dask"
    package = "distributed"
    python_parts = 2
    templates_from = "dask-kubernetes"
    connect = "Client() without arguments"
    late_s = 0.0
    history = ""
    on_pods = True
    no_distant_client = ""
    distinct_hosts = False

    def problems(self, python: str) -> list[Problem]:
        """Dask missing from this Python."""
        if importlib.util.find_spec(self.package):
            return []
        return [
            Problem(
                Reason.FRAMEWORK_MISSING,
                f"Dask is not installed for {python}",
                'pip install "ebbtide[dask]"',
            )
        ]

    def found(self) -> str:
        """Dask's version."""
        return f"distributed {version('distributed')}"

    def refusals(
        self, spec: ClusterSpec, job: JobSpec | None, python: str, environ: Mapping[str, str]
    ) -> list[Problem]:
        """A program with another Python: what it sends to workers would not be read there.

        And configuration of the user's with which no member would start, or be found.
        """
        del spec
        added, workdir = (job.env, job.workdir) if job is not None else ({}, "")
        configured = refused(environ, added, python, workdir)
        return [*mismatch(job, self.package, python, python_parts=self.python_parts), *configured]

    def too_small(self, spec: ClusterSpec) -> list[Problem]:
        """None: what a worker of its needs, every tier has."""
        del spec
        return []

    def foreign(self, environ: Iterable[str]) -> frozenset[str]:
        """None."""
        del environ
        return frozenset()

    def prepare(self, plan: ClusterPlan) -> tuple[SecretFile, ...]:
        """The cluster's certificate, its key, and the secret of the cluster's pages."""
        return (*new_certificate(plan.cluster), SecretFile(SECRET_FILE, new_secret()))

    def head(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec:
        """The scheduler; its dashboard on Dask's usual port when that is free."""
        settings = head_settings(plan, at, _USUAL_DASHBOARD_PORT)
        env = {**_tls(plan), **_scratch(plan), **_imports(plan), **_files(plan)}
        return ProcessSpec(argv=_argv(plan.paths.python, "head", json.dumps(settings)), env=env)

    def address(self, host: str, port: int) -> str:
        """As its workers and its driver want it."""
        return f"tls://{host}:{port}"

    def worker(self, plan: ClusterPlan, name: str, at: MemberAddress) -> ProcessSpec:
        """One worker, sized by its tier."""
        tier = plan.spec.tier
        settings = {
            **worker_settings(plan, name, at),
            "nthreads": tier.threads,
            "memory_limit_bytes": tier.resources.memory_bytes,
            "resources": tier.gpu_offer,
        }
        env = {**_tls(plan), **_scratch(plan), **_imports(plan), **_files(plan)}
        # As Dask's nanny does before a worker starts; the rest of it is in ``worker``. Memory is
        # given back, and all workers hash alike: tasks partition text by its hash.
        defaults = {
            "MALLOC_TRIM_THRESHOLD_": "65536",
            "PYTHONHASHSEED": "6640",
        }
        argv = _argv(plan.paths.python, "worker", json.dumps(settings))
        return ProcessSpec(argv=argv, env=env, defaults=defaults)

    def pod_templates(self, cluster: ClusterId, image: str) -> PodTemplates:
        """As Dask's own operator wants them. Its import costs half a second, so it is done here."""
        try:
            from dask_kubernetes.operator.kubecluster import kubecluster
        except ImportError as error:
            summary = f"Dask's templates of pods cannot be read: {error}"
            hint = 'pip install "ebbtide[kubernetes]"'
            problem = Problem(Reason.FRAMEWORK_MISSING, summary, hint)
            raise ConfigurationError([problem]) from error
        # It would look for clusters of its own when this process ends.
        atexit.unregister(kubecluster.reap_clusters)
        made = kubecluster.make_cluster_spec(name=cluster, image=image)["spec"]
        return PodTemplates(
            head=made["scheduler"]["spec"],
            worker=made["worker"]["spec"],
            service=made["scheduler"]["service"],
        )

    def beside(self, plan: ClusterPlan, at: MemberAddress) -> None:
        """Nothing: a client connects from anywhere."""

    def shared_memory_bytes(self, spec: ClusterSpec, role: str) -> int:
        """None is used."""
        del spec, role
        return 0

    def status(self, head: HeadInfo, hosts: Mapping[str, str]) -> FrameworkStatus | None:
        """Asked over HTTP; the scheduler knows its workers' names."""
        del hosts
        return ask_status(head)

    def offer(self, spec: ClusterSpec) -> Amounts:
        """One slot a thread; of Dask's own resources, which a worker has to declare, its GPUs."""
        tier = spec.tier
        memory = tier.resources.memory_bytes
        return {"CPU": tier.threads, "memory": memory, **tier.gpu_offer}

    def driver_env(self, plan: ClusterPlan, at: MemberAddress, head: HeadInfo) -> dict[str, str]:
        """``distributed.Client()`` without arguments reads the first of these."""
        del at  # a client listens nowhere
        where, policy = urlsplit(head.address), plan.spec.policy
        return {
            ADDRESS: head.address,
            WORKERS: f"{policy.min_workers}..{policy.max_workers}",
            "DASK_SCHEDULER_SERVICE_HOST": where.hostname or "",
            "DASK_SCHEDULER_SERVICE_PORT": str(where.port),
            **_tls(plan),
            **DRIVER,
        }

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """A ``distributed.Client``."""
        return importlib.import_module("ebbtide.infra.frameworks.dask.client").connect(
            address, environment
        )

    def hello(self, python: str) -> tuple[str, ...]:
        """Estimates pi."""
        return _argv(python, "hello")

    def history_server(self, paths: MemberPaths, at: MemberAddress) -> None:
        """None: its reports are pages."""


def _argv(python: str, module: str, *arguments: str) -> tuple[str, ...]:
    return (python, "-P", "-m", f"{__package__}.{module}", *arguments)


def _scratch(plan: ClusterPlan) -> dict[str, str]:
    """Dask's temporary files go with the cluster; a killed scheduler would leave some in /tmp."""
    return {"DASK_TEMPORARY_DIRECTORY": str(plan.paths.scratch / "spill")}


def _imports(plan: ClusterPlan) -> dict[str, str]:
    """The user's modules, for the head too: Dask's scheduler unpickles the task graph."""
    return {"PYTHONPATH": plan.python_path}


def _files(plan: ClusterPlan) -> dict[str, str]:
    """The user's configuration, where the program finds it: members run in other folders."""
    named = plan.environ.get(FILES)
    return {FILES: os.path.join(plan.workdir, named)} if named else {}


def _tls(plan: ClusterPlan) -> dict[str, str]:
    secrets = plan.paths.secrets
    return tls(str(secrets / CERTIFICATE), str(secrets / KEY))
