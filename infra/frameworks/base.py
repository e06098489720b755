"""The protocol a framework fills in, and the registry that finds it by name.

Its shape was tried on written sketches of Ray, Spark and pods (docs/protocol-sketches.md): a head
and workers are command lines, both are started at once and the worker waits for the head, readiness
and load are asked of the head, and the stop signal of a worker starts its drain.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.plan import ClusterPlan, MemberAddress, MemberPaths, SecretFile
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.demand import Amounts, DemandFigures
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
class ProcessSpec:
    """One process to start: its command line and what it adds to the environment."""

    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict)
    """What makes it a member of its cluster: stronger than anything the user has set."""
    defaults: dict[str, str] = field(default_factory=dict)
    """Only for variables that the user has not set."""
    not_for_tasks: dict[str, str] = field(default_factory=dict)
    """For the framework's own processes; tasks have the user's where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadInfo:
    """A head that answers."""

    address: str
    """In the framework's own spelling, such as ``tls://10.0.0.7:8786``."""
    dashboard: str
    """URL for people."""
    status_url: str
    """URL for ``Framework.status``."""
    secret: str = field(repr=False)
    """What both want to be told, see ``door``: never into a view, an event or a log."""
    imported_at: float | None = None
    """When its process had imported what it is made of (Unix time, seconds); None: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTemplates:
    """What pods of head and workers start from: specifications as the API server spells them.

    Empty: from nothing. What a platform adds is stronger.
    """

    head: Mapping[str, Any] = field(default_factory=dict)
    worker: Mapping[str, Any] = field(default_factory=dict)
    service: Mapping[str, Any] = field(default_factory=dict)
    """Of the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """One registered worker as its head sees it."""

    running: int = 0
    queued: int = 0
    stored_bytes: int = 0
    leaving: bool = False
    stays_because: str = ""
    stays_for_now: bool = False
    """Whether that passes by itself, as a running task does: of two that stay, this one may go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkStatus:
    """The head's answer: who has registered and what there is to do."""

    workers: dict[str, WorkerStatus]
    running: int = 0
    """Tasks running or assigned."""
    queued: int = 0
    """Tasks that could run and have no worker yet."""
    finished: int | None = None
    """Tasks that have ended since the head started, well or not: it only grows. None: not known,
    as while a driver does not answer."""
    killed_for_memory: int = 0
    """Processes that the framework itself has ended because their machine ran out of memory, since
    the head started. What they ran is tried again as often as the framework does."""
    demand: DemandFigures = field(default_factory=DemandFigures)
    """What waits, for the autoscaler."""


class Framework(Protocol):
    """How one framework's processes are started, asked and drained.

    The stop signal (SIGTERM) of a worker starts its drain: it takes no new work, its data moves,
    its running work ends, then it exits with 0. That holds locally and in a pod alike.
    """

    name: str
    package: str
    """What an interpreter must be able to import, and the name of its distribution, whose version
    must be equal in all parts of a cluster."""
    python_parts: int
    """How much of Python's version must be equal there: 2 is 3.11, 3 is 3.11.7."""
    templates_from: str
    """The distribution that ``pod_templates`` asks; empty: none."""
    connect: str
    """How a program connects to the cluster, in code: for a user whose program does not."""
    late_s: float
    """By how many seconds the head's figures of ended tasks may be late."""
    distinct_hosts: bool
    """Whether each worker must have a host of its own: its head tells workers apart by nothing
    else. Pods have; a platform that runs several on one machine gives each an address."""
    on_pods: bool
    """Whether its clusters run on Kubernetes: elsewhere than on this machine it is refused before
    anything is made, and the contract's tests run there for those that do."""
    no_distant_client: str
    """Why its ``client`` works only where its cluster's members are, as a sentence; empty: one port
    of its head is all that it needs."""
    history: str
    """The folder below ``MemberPaths.artifacts`` that ``history_server`` shows; empty when what is
    kept is pages and texts, which need no server."""

    def problems(self, python: str) -> list[Problem]:
        """Why it cannot be used by the interpreter of this process; empty when it can.

        ``python`` is that interpreter as people know it: its path.
        """
        ...

    def found(self) -> str:
        """Versions of what it needs, for ``ebb doctor``; asked when there are no problems."""
        ...

    def refusals(
        self, spec: ClusterSpec, job: JobSpec | None, python: str, environ: Mapping[str, str]
    ) -> list[Problem]:
        """Why this cluster, or this program on it, could never work.

        Args:
            spec: the cluster.
            job: the program; None for a session.
            python: the path of the interpreter of this process, which members run with.
            environ: the user's environment with ``--env`` on top, as members and driver get it:
                for configuration that was left there and cannot be overridden.

        Returns:
            Every reason; empty when there is none.
        """
        ...

    def too_small(self, spec: ClusterSpec) -> list[Problem]:
        """Which of the cluster's tiers could not hold a member, wherever it runs; empty: none.

        Part of ``refusals``; apart for platforms whose members run with another Python.
        """
        ...

    def foreign(self, environ: Iterable[str]) -> frozenset[str]:
        """The variables among these that would govern life, address or membership of a cluster.

        Members and driver do not get the user's; ``--env`` refuses them.
        """
        ...

    def prepare(self, plan: ClusterPlan) -> tuple[SecretFile, ...]:
        """New keys and configuration for one cluster, as values.

        The platform puts them at ``plan.paths.secrets`` before it starts a member, once a cluster:
        each call makes others.
        """
        ...

    def head(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec:
        """The head's command line.

        It says where it answers (``heads.published``) once it has answered in its own protocol.
        """
        ...

    def address(self, host: str, port: int) -> str:
        """How this framework spells the address of a head that will listen there."""
        ...

    def worker(self, plan: ClusterPlan, name: str, at: MemberAddress) -> ProcessSpec:
        """A worker's command line. It may be started before the head answers, and waits for it.

        Args:
            plan: of the cluster.
            name: by which ``status`` shall call it; one worker's in the cluster's whole life.
            at: where it listens.

        Returns:
            The process, with nothing secret in it.
        """
        ...

    def pod_templates(self, cluster: ClusterId, image: str) -> PodTemplates:
        """What the framework's own tools for Kubernetes would make of a cluster.

        It may cost a second, and may depend on nothing but these two and the version of
        ``templates_from``.

        Raises:
            ConfigurationError: its tools are not installed.
        """
        ...

    def beside(self, plan: ClusterPlan, at: MemberAddress) -> ProcessSpec | None:
        """What a program needs beside it where no member of its cluster is, as in a pod of its own.

        It prints ``ready`` when the program may begin, and on the same line as JSON the variables
        that the program gets on top of ``driver_env``. It leaves at once on SIGTERM, and may be
        started again when it has ended before it was ready.

        Args:
            plan: of the cluster.
            at: where it listens.

        Returns:
            The process; None for a framework whose programs connect from anywhere.
        """
        ...

    def shared_memory_bytes(self, spec: ClusterSpec, role: str) -> int:
        """How large /dev/shm must be for a ``head``, ``worker`` or ``driver``; 0: it is not used.

        It is part of the memory that the member's tier has.
        """
        ...

    def status(self, head: HeadInfo, hosts: Mapping[str, str]) -> FrameworkStatus | None:
        """What the head says now; None when it does not answer within a second.

        ``hosts`` has the host of each worker and its name, for heads that know only hosts.
        """
        ...

    def offer(self, spec: ClusterSpec) -> Amounts:
        """What one empty worker of this cluster offers to tasks: ``CPU``, ``memory``, ..."""
        ...

    def driver_env(self, plan: ClusterPlan, at: MemberAddress, head: HeadInfo) -> dict[str, str]:
        """What makes a program connect by itself.

        Args:
            plan: of the cluster.
            at: where a driver listens for its workers.
            head: the head that answers.

        Returns:
            Environment variables: paths of secrets, never secrets.
        """
        ...

    def client(self, address: str, environment: dict[str, str]) -> Any:
        """The framework's own client in this process, connected; a context manager.

        ``environment`` is what ``driver_env`` gave. The only call that imports the framework here.
        """
        ...

    def hello(self, python: str) -> tuple[str, ...]:
        """The command line of the built-in job with this interpreter."""
        ...

    def history_server(self, paths: MemberPaths, at: MemberAddress) -> ProcessSpec | None:
        """The framework's own server of ``history``, for a run that has been released.

        It says where it answers as a head does, and lets in who knows the secret in
        ``door.SECRET_FILE`` of ``paths.secrets``; it may write there.

        Args:
            paths: where it finds what is kept, and its own things.
            at: where it listens.

        Returns:
            The process; None for a framework without ``history``.
        """
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
