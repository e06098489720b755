"""Dask's command lines, environment and answers. Does not import Dask: it costs time and memory."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import (
    ClusterPlan,
    FrameworkStatus,
    HeadInfo,
    ProcessSpec,
)
from ebbtide.infra.frameworks.certificates import write_certificate
from ebbtide.infra.frameworks.door import write_secret
from ebbtide.infra.frameworks.heads import ask_status, published
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_HERE = Path(__file__).parent
_USUAL_DASHBOARD_PORT = 8787
_HEAD_TIMEOUT_S = 120.0

# Dask spills and pauses by default at 60, 70 and 80 %, before a target of 80 % can be seen.
_MEMORY = {"TARGET": "0.85", "SPILL": "0.90", "PAUSE": "0.95", "TERMINATE": "False"}


class Dask:
    """See ``infra.frameworks.base.Framework``."""

    name = "dask"

    def problems(self) -> list[Problem]:
        """Dask missing from this Python."""
        if importlib.util.find_spec("distributed"):
            return []
        return [
            Problem(
                Reason.FRAMEWORK_MISSING,
                f"Dask is not installed for {sys.executable}",
                'pip install "ebbtide[dask]"',
            )
        ]

    def found(self) -> str:
        """Dask's version."""
        return f"distributed {version('distributed')}"

    def refusals(self, spec: ClusterSpec, job: JobSpec | None) -> list[Problem]:
        """Nothing: Dask runs in whatever it is given."""
        del spec, job
        return []

    def prepare(self, plan: ClusterPlan) -> None:
        """The cluster's certificate, the secret of its pages, and where workers spill."""
        write_certificate(plan.folder, plan.cluster)
        write_secret(plan.folder)
        (plan.folder / "spill").mkdir(exist_ok=True)

    def head(self, plan: ClusterPlan) -> ProcessSpec:
        """The scheduler; its dashboard on Dask's usual port when that is free."""
        argv = (sys.executable, "-P", str(_HERE / "head.py"), str(plan.folder))
        env = {**_tls(plan), **_scratch(plan), **_imports(plan)}
        return ProcessSpec(argv=(*argv, str(_USUAL_DASHBOARD_PORT)), env=env)

    def worker(self, plan: ClusterPlan, name: str) -> ProcessSpec:
        """One worker, sized by its tier."""
        tier = plan.spec.tier
        settings = {
            "name": name,
            "folder": str(plan.folder),
            "nthreads": tier.threads,
            "memory_limit_bytes": tier.resources.memory_bytes,
            "drain_budget_s": tier.drain_budget_s,
            "head_timeout_s": _HEAD_TIMEOUT_S,
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
        argv = (sys.executable, "-P", str(_HERE / "worker.py"), json.dumps(settings))
        return ProcessSpec(argv=argv, env=env)

    def find_head(self, plan: ClusterPlan) -> HeadInfo | None:
        """What the head wrote once it had answered."""
        return published(plan.folder)

    def status(self, head: HeadInfo) -> FrameworkStatus | None:
        """Asked over HTTP on loopback."""
        return ask_status(head)

    def driver_env(self, plan: ClusterPlan, head: HeadInfo) -> dict[str, str]:
        """``distributed.Client()`` without arguments reads the first of these."""
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

    def hello(self) -> tuple[str, ...]:
        """Estimates pi."""
        return (sys.executable, str(_HERE / "hello.py"))


def _scratch(plan: ClusterPlan) -> dict[str, str]:
    """Dask's temporary files go with the cluster; a killed scheduler would leave some in /tmp."""
    return {"DASK_TEMPORARY_DIRECTORY": str(plan.folder / "spill")}


def _imports(plan: ClusterPlan) -> dict[str, str]:
    """The user's modules, for the head too: Dask's scheduler unpickles the task graph."""
    return {"PYTHONPATH": os.pathsep.join(plan.import_path)}


def _tls(plan: ClusterPlan) -> dict[str, str]:
    certificate, key = str(plan.folder / "cluster.crt"), str(plan.folder / "cluster.key")
    env = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": certificate}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        env[f"DASK_DISTRIBUTED__COMM__TLS__{role}__CERT"] = certificate
        env[f"DASK_DISTRIBUTED__COMM__TLS__{role}__KEY"] = key
    return env
