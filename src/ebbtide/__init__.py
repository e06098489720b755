"""Run a Python job on a Dask, Ray or Spark cluster of its own, which goes when the job ends.

    from ebbtide import cluster, job, parallel, run

``run`` runs a program, ``cluster`` holds a cluster open, in a script, a notebook or a Prefect flow;
``job`` and ``parallel`` are for Prefect flows. Names are loaded when they are first asked for:
``import ebbtide`` costs nothing, and only ``job`` and ``parallel`` import Prefect.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebbtide.flows.api import run
    from ebbtide.flows.jobs import job, parallel
    from ebbtide.flows.sessions import Cluster, cluster
    from ebbtide.infra.errors import (
        CapacityError,
        ConfigurationError,
        EbbError,
        JobError,
        ProvisioningError,
        ReleaseError,
    )
    from ebbtide.infra.lifecycle.outcome import RunResult

__all__ = [
    "CapacityError",
    "Cluster",
    "ConfigurationError",
    "EbbError",
    "JobError",
    "ProvisioningError",
    "ReleaseError",
    "RunResult",
    "cluster",
    "job",
    "parallel",
    "run",
]

_ERRORS = "ebbtide.infra.errors"
_HOMES = {
    "Cluster": "ebbtide.flows.sessions",
    "RunResult": "ebbtide.infra.lifecycle.outcome",
    "cluster": "ebbtide.flows.sessions",
    "job": "ebbtide.flows.jobs",
    "parallel": "ebbtide.flows.jobs",
    "run": "ebbtide.flows.api",
}


if not TYPE_CHECKING:  # a checker shall tell a name that is not there

    def __getattr__(name: str) -> Any:
        """Load what is asked for (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_HOMES.get(name, _ERRORS)), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
