"""Dask's command lines, environment and answers. Does not import Dask: it costs time and memory."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import FrameworkStatus, HeadInfo, ProcessSpec
from ebbtide.infra.frameworks.certificates import CERTIFICATE, KEY, new_certificate
from ebbtide.infra.frameworks.door import SECRET_FILE, new_secret
from ebbtide.infra.frameworks.heads import ask_status
from ebbtide.infra.frameworks.interpreters import mismatch
from ebbtide.infra.frameworks.plan import (
    ClusterPlan,
    MemberAddress,
    SecretFile,
    head_settings,
    worker_settings,
)
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.demand import Amounts
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_USUAL_DASHBOARD_PORT = 8787

# Dask spills and pauses by default at 60, 70 and 80 %, before a target of 80 % can be seen.
_MEMORY = {"TARGET": "0.85", "SPILL": "0.90", "PAUSE": "0.95", "TERMINATE": "False"}


class Dask:
    """See ``infra.frameworks.base.Framework``."""

    name = "dask"
    package = "distributed"
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
        """A program with another Python: what it sends to workers would not be read there."""
        del spec, environ
        return mismatch(job, "distributed", python, python_parts=2)

    def prepare(self, plan: ClusterPlan) -> tuple[SecretFile, ...]:
        """The cluster's certificate, its key, and the secret of the cluster's pages."""
        return (*new_certificate(plan.cluster), SecretFile(SECRET_FILE, new_secret()))

    def head(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec:
        """The scheduler; its dashboard on Dask's usual port when that is free."""
        settings = head_settings(plan, at, _USUAL_DASHBOARD_PORT)
        env = {**_tls(plan), **_scratch(plan), **_imports(plan)}
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
        }
        memory = {f"DASK_DISTRIBUTED__WORKER__MEMORY__{k}": v for k, v in _MEMORY.items()}
        env = {
            **_tls(plan),
            **_scratch(plan),
            **_imports(plan),
            **memory,
            # As Dask's nanny does before a worker starts: one thread a task, memory given back.
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_TRIM_THRESHOLD_": "65536",
        }
        return ProcessSpec(argv=_argv(plan.paths.python, "worker", json.dumps(settings)), env=env)

    def status(self, head: HeadInfo, hosts: Mapping[str, str]) -> FrameworkStatus | None:
        """Asked over HTTP; the scheduler knows its workers' names."""
        del hosts
        return ask_status(head)

    def offer(self, spec: ClusterSpec) -> Amounts:
        """One slot a thread; Dask's own resources have to be declared by a worker, and none are."""
        tier = spec.tier
        return {"CPU": tier.threads, "memory": tier.resources.memory_bytes}

    def driver_env(self, plan: ClusterPlan, at: MemberAddress, head: HeadInfo) -> dict[str, str]:
        """``distributed.Client()`` without arguments reads the first of these."""
        del at  # a client listens nowhere
        where = urlsplit(head.address)
        return {
            "DASK_SCHEDULER_ADDRESS": head.address,
            "DASK_SCHEDULER_SERVICE_HOST": where.hostname or "",
            "DASK_SCHEDULER_SERVICE_PORT": str(where.port),
            **_tls(plan),
        }

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """A ``distributed.Client``."""
        return importlib.import_module("ebbtide.infra.frameworks.dask.client").connect(
            address, environment
        )

    def hello(self, python: str) -> tuple[str, ...]:
        """Estimates pi."""
        return _argv(python, "hello")


def _argv(python: str, module: str, *arguments: str) -> tuple[str, ...]:
    return (python, "-P", "-m", f"{__package__}.{module}", *arguments)


def _scratch(plan: ClusterPlan) -> dict[str, str]:
    """Dask's temporary files go with the cluster; a killed scheduler would leave some in /tmp."""
    return {"DASK_TEMPORARY_DIRECTORY": str(plan.paths.scratch / "spill")}


def _imports(plan: ClusterPlan) -> dict[str, str]:
    """The user's modules, for the head too: Dask's scheduler unpickles the task graph."""
    return {"PYTHONPATH": plan.python_path}


def _tls(plan: ClusterPlan) -> dict[str, str]:
    secrets = plan.paths.secrets
    certificate, key = str(secrets / CERTIFICATE), str(secrets / KEY)
    env = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": certificate}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        env[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = certificate
        env[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = key
    return env
