"""The protocol a framework fills in, and the registry that finds it by name.

Its shape was tried on written sketches of Ray, Spark and pods (docs/protocol-sketches.md): a head
and workers are command lines, both are started at once and the worker waits for the head, readiness
and load are asked of the head, and the stop signal of a worker starts its drain.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec

_REGISTRY = {
    "dask": "ebbtide.infra.frameworks.dask.framework:Dask",
    "ray": "ebbtide.infra.frameworks.ray.framework:Ray",
    "spark": "ebbtide.infra.frameworks.spark.framework:Spark",
}

WITHOUT_CLUSTER = "none"
"""``framework: none`` runs a plain program on a tier."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """What a framework must know to write its command lines."""

    cluster: ClusterId
    spec: ClusterSpec
    folder: Path
    """The cluster's own folder, private to this user and gone after release."""
    short_folder: Path | None = None
    """Another path of the same folder, short enough for unix sockets (107 bytes in all)."""
    workdir: str = "/"
    """Where workers run, so that relative paths in tasks mean what they mean in the program."""
    import_path: tuple[str, ...] = ()
    """Folders from which workers import the user's modules, as the driver does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process to start: its command line and what it adds to the environment."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadInfo:
    """A head that answers."""

    address: str
    """In the framework's own spelling, such as ``tls://127.0.0.1:40001``."""
    dashboard: str
    """URL for people."""
    status_url: str
    """URL for ``Framework.status``."""
    secret: str = field(repr=False)
    """What both want to be told, see ``door``: never into a view, an event or a log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One registered worker as its head sees it."""

    running: int = 0
    queued: int = 0
    stored_bytes: int = 0
    leaving: bool = False
    stays_because: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkStatus:
    """The head's answer: who has registered and what there is to do."""

    workers: dict[str, WorkerStatus]
    running: int = 0
    """Tasks running or assigned."""
    queued: int = 0
    """Tasks that could run and have no worker yet."""

    @property
    def has_work(self) -> bool:
        """Whether anything runs or waits."""
        return self.running + self.queued > 0


class Framework(Protocol):
    """How one framework's processes are started, asked and drained.

    The stop signal (SIGTERM) of a worker starts its drain: it takes no new work, its data moves,
    its running work ends, then it exits with 0. That holds locally and in a pod alike.
    """

    name: str

    def problems(self) -> list[Problem]:
        """Why it cannot be used on this machine; empty when it can."""
        ...

    def found(self) -> str:
        """Versions of what it needs, for ``ebb doctor``; asked when there are no problems."""
        ...

    def refusals(self, spec: ClusterSpec, job: JobSpec | None) -> list[Problem]:
        """Why this cluster, or this program on it, could never work; empty when it can."""
        ...

    def prepare(self, plan: ClusterPlan) -> None:
        """Write what head, workers and driver share (keys) into the plan's folder."""
        ...

    def head(self, plan: ClusterPlan) -> ProcessSpec:
        """The head's command line."""
        ...

    def worker(self, plan: ClusterPlan, name: str) -> ProcessSpec:
        """A worker's command line. It may be started before the head answers, and waits for it."""
        ...

    def find_head(self, plan: ClusterPlan) -> HeadInfo | None:
        """The head once it has answered in its own protocol, else None. Must be cheap."""
        ...

    def status(self, head: HeadInfo) -> FrameworkStatus | None:
        """What the head says now; None when it does not answer within a second."""
        ...

    def driver_env(self, plan: ClusterPlan, head: HeadInfo) -> dict[str, str]:
        """What makes a program connect by itself. Paths of secrets, never secrets."""
        ...

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """The framework's own client in this process, connected; a context manager.

        ``environment`` is what ``driver_env`` gave. The only call that imports the framework here.
        """
        ...

    def hello(self) -> tuple[str, ...]:
        """The command line of the built-in job."""
        ...


def known_frameworks() -> tuple[str, ...]:
    """Every name ``--framework`` takes."""
    return (*_REGISTRY, WITHOUT_CLUSTER)


def load_framework(name: str) -> Framework:
    """The framework of this name.

    Raises:
        KeyError: for a name that is not in ``known_frameworks``, and for ``none``.
    """
    module, attribute = _REGISTRY[name].split(":")
    return cast(Framework, getattr(importlib.import_module(module), attribute)())
