"""What a platform hands to a framework, and what it gets back to put where members read it.

Everything here is what the *member* sees: of a process of this machine, or of a pod whose command
line is written long before it runs. A framework therefore takes addresses, names and paths as they
are: it neither opens nor parses them, so that a platform may pass ``$(POD_IP)`` for an address that
is filled in where the member starts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any

from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.ids import ClusterId

_MODULES = "EBB_TASK_MODULES"
"""What ``task_modules_of`` reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long members of a cluster may take and wait for each other, in seconds.

    Here are all that decide about a cluster. One question over HTTP has a time-out of a few seconds
    beside the code that asks it, and is asked again.
    """

    head_start_s: float = 120.0
    """From the start of a head until it answers in its own protocol. Ray's takes up to 28 s on two
    slow cores; with four times that only a head that hangs is given up."""
    head_wait_s: float = 120.0
    """How long a worker waits for a head that is not there yet, or not any more. Not less than
    ``head_start_s``: the platform, which knows why the head is late, shall judge first."""
    worker_join_s: float = 120.0
    """From the start of a worker until it has registered with a head that answers. Ray's start one
    after another on one machine, and take up to 20 s each."""
    drain_grace_s: float = 30.0
    """A leaving worker ends itself when its drain budget is used up. So long after that the
    platform ends it: its last messages and its exit take a few seconds on a busy machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPaths:
    """Where head, workers and driver find things. The same for all of a cluster, each in its pod.

    Pure paths: only the members themselves can open them.
    """

    python: str
    """The interpreter that has this package and the framework."""
    framework: PurePath
    """The folder of the framework's package in that interpreter (``Framework.package``)."""
    secrets: PurePath
    """Where the platform has put the files of ``Framework.prepare``; read only to members."""
    scratch: PurePath
    """Where members may write; gone with the cluster."""
    short_scratch: PurePath | None = None
    """Another path of the same folder, short enough for unix sockets (107 bytes in all)."""
    artifacts: PurePath
    """Where head, workers and driver write what people look at when the cluster has gone: event
    logs, reports. Each member in a folder of its own name; how much is kept is the platform's."""
    head_file: PurePath
    """Where a head writes where it answers, and workers read it. The platform brings it from one to
    the others, or writes what workers read itself where it has fixed the head's ports."""
    alone: bool = False
    """Whether each member has these folders for itself, as pods have. Then nothing in them needs a
    name of its own, and what a worker writes to ``artifacts`` goes with it: what people look for
    there it also prints."""

    @property
    def sockets(self) -> PurePath:
        """Where members make unix sockets."""
        return self.short_scratch or self.scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAddress:
    """Where one member listens and how the others reach it."""

    bind: str
    """The address to listen on, such as ``0.0.0.0``."""
    host: str
    """The address or name by which the other members reach it."""
    port: int = 0
    """Where a head listens for its members; 0: any port that is free."""
    page_port: int = 0
    """Where a head shows its pages; 0: the framework's usual port, or any when that is taken."""
    ready_port: int = 0
    """Where a head or worker says to everybody, by HTTP and without a word more, whether it is
    ready: a worker is when it has registered with its head. 0: nowhere."""
    page_hosts: tuple[str, ...] = ()
    """By which names, addresses and networks (``10.0.0.0/8``) browsers may call a head's pages,
    beside ``host``; see ``door``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """What a framework must know to write the command lines of one cluster."""

    cluster: ClusterId
    spec: ClusterSpec
    paths: MemberPaths
    timeouts: Timeouts = Timeouts()
    workdir: str = "/"
    """Where workers run, so that relative paths in tasks mean what they mean in the program."""
    import_path: tuple[str, ...] = ()
    """Folders from which workers import the user's modules, as the driver does."""
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The user's environment with ``--env`` on top, for a framework that wants some of it said in
    its configuration; members and driver get it without that."""

    @property
    def python_path(self) -> str:
        """``import_path`` as the value of PYTHONPATH."""
        return os.pathsep.join(self.import_path)


@dataclass(frozen=True, slots=True)
class SecretFile:
    """One file that only members may read: a key, or configuration with one in it."""

    name: str
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskModules:
    """Code that came when its cluster was there already, and whose modules tasks are to import."""

    name: str
    """Tells it from other code; the same for the same content."""
    argv: tuple[str, ...]
    """What fetches it, run where it is to be."""
    folders: tuple[str, ...]
    """From which its modules are imported then."""

    @property
    def variables(self) -> dict[str, str]:
        """For the environment of the process whose tasks these are."""
        return {_MODULES: json.dumps(asdict(self))}


def task_modules_of(environ: Mapping[str, str]) -> TaskModules | None:
    """Read what ``TaskModules.variables`` wrote; None where it wrote nothing."""
    if _MODULES not in environ:
        return None
    found = json.loads(environ[_MODULES])
    return TaskModules(
        name=found["name"], argv=tuple(found["argv"]), folders=tuple(found["folders"])
    )


def fetching_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For ``TaskModules.argv``: ``environ`` without what the user has set for any Python."""
    return {name: value for name, value in environ.items() if not name.startswith("PYTHON")}


def member_settings(plan: ClusterPlan, at: MemberAddress) -> dict[str, Any]:
    """What every head and worker is told on its command line: places, never secrets."""
    return {
        "secrets": str(plan.paths.secrets),
        "scratch": str(plan.paths.scratch),
        "artifacts": str(plan.paths.artifacts),
        "head_file": str(plan.paths.head_file),
        "import_path": plan.python_path,
        "bind": at.bind,
        "host": at.host,
        "ready_port": at.ready_port,
        "alone": plan.paths.alone,
    }


def head_settings(plan: ClusterPlan, at: MemberAddress, usual_page_port: int = 0) -> dict[str, Any]:
    """What every head is told.

    Args:
        plan: of its cluster.
        at: where it listens.
        usual_page_port: of the framework's pages, taken when it is free; 0 for none.

    Returns:
        Values for JSON, with those of ``member_settings``.
    """
    return {
        **member_settings(plan, at),
        "port": at.port,
        "page_port": at.page_port or usual_page_port,
        "page_hosts": [at.host, *at.page_hosts],
        "start_timeout_s": plan.timeouts.head_start_s,
    }


def worker_settings(plan: ClusterPlan, name: str, at: MemberAddress) -> dict[str, Any]:
    """What every worker is told.

    Args:
        plan: of its cluster.
        name: by which the platform and the head's answers know it.
        at: where it listens.

    Returns:
        Values for JSON, with those of ``member_settings``.
    """
    return {
        **member_settings(plan, at),
        "name": name,
        "drain_budget_s": plan.spec.tier.drain_budget_s,
        "head_wait_s": plan.timeouts.head_wait_s,
    }
