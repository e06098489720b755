"""The verbs every platform has, and the registry that finds one by name.

All verbs converge: said twice, nothing is made twice; said after a crash, what is there is adopted.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.hardware import Node, NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.settings import Settings

_REGISTRY = {
    "local": "ebbtide.infra.platforms.local.platform:LocalPlatform",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldResource:
    """One thing that is alive on the platform, found by its mark and not by the ledger."""

    cluster: ClusterId
    role: str
    """head, worker, driver, supervisor, guard, folder."""
    name: str
    where: str
    """Process id or path."""
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What the pages of a cluster want to be told."""

    user: str
    password: str = field(repr=False)
    """Never on a command line, in an event or in a log."""
    password_file: Path
    """Readable by its owner only, and gone with the cluster."""


class Platform(Protocol):
    """Where clusters live."""

    name: str

    def declare(self, spec: RunSpec, cluster: ClusterId, attempt: int) -> None:
        """Steps 1 to 4: the lease, and head and first workers together, queueing for room."""
        ...

    def attach_autoscaler(self, cluster: ClusterId) -> None:
        """Step 5: from now on the policy of the spec decides the number of workers."""
        ...

    def start_job(self, cluster: ClusterId, *, then_release: bool = False) -> None:
        """Step 6: run the spec's program, once, when the workers are there.

        ``then_release``: its end is the cluster's end, without waiting for anybody to say so.
        """
        ...

    def start_program(self, cluster: ClusterId, name: str, job: JobSpec) -> None:
        """Run one more program on a cluster that a flow holds; once for each name."""
        ...

    def stop_program(self, cluster: ClusterId, name: str) -> None:
        """End that program; the cluster stays."""
        ...

    def repeat(self, cluster: ClusterId, step: Step) -> None:
        """Clear the failure of a step and try it again on the same cluster."""
        ...

    def release(self, cluster: ClusterId, reason: Reason | None, *, at_once: bool = False) -> None:
        """Step 7: give everything back. ``at_once`` leaves the program no time to say goodbye."""
        ...

    def observe(self, cluster: ClusterId) -> ClusterView | None:
        """What is now; None when the cluster was never declared or has been forgotten.

        Only looks: neither records nor processes change by it.
        """
        ...

    def watch(
        self, cluster: ClusterId, seen: ClusterView | None, timeout_s: float
    ) -> ClusterView | None:
        """Wait until a cluster is no longer what the caller has seen of it. Only looks.

        It also waits for a cluster that is not declared yet, and for one that nobody takes care of:
        whoever needs its end says ``reap`` between two waits.

        Args:
            cluster: which.
            seen: what the caller got from the last ``observe`` or ``watch``; None for nothing.
            timeout_s: how long to wait at most, in seconds; 0 looks once.

        Returns:
            What is, as soon as it differs from ``seen``; else what is when the time is up. None
            when the cluster was never declared or has been forgotten.

        Raises:
            ProvisioningError: LEDGER_UNWRITABLE, when its records cannot be read.
        """
        ...

    def reap(self, cluster: ClusterId) -> bool:
        """Release it if nobody living takes care of it any more; gives whether that was done now.

        Cheap when somebody does, so that whoever waits for the cluster can call it at every look.
        """
        ...

    def login(self, cluster: ClusterId) -> Login | None:
        """How to sign in to its dashboard; None when it has none, or has been released."""
        ...

    def renew(self, cluster: ClusterId) -> bool:
        """One heartbeat of the lease."""
        ...

    def held(self, cluster: ClusterId | None = None) -> list[HeldResource]:
        """Everything alive of one cluster, or of all clusters of this installation."""
        ...

    def orphans(self) -> tuple[ClusterId, ...]:
        """Clusters of which something is left and that nobody living will release."""
        ...

    def sweep(self, cluster: ClusterId) -> list[HeldResource]:
        """End whatever still carries the cluster's mark; gives what is left even so."""
        ...

    def nodes(self, pool: NodePool) -> tuple[Node, ...]:
        """The machines the pool has now, and how much of each is held."""
        ...


def known_platforms() -> tuple[str, ...]:
    """Every name ``--platform`` takes."""
    return tuple(_REGISTRY)


def load_platform(name: str, settings: Settings) -> Platform:
    """The platform of this name.

    Raises:
        KeyError: for a name that is not in ``known_platforms``.
    """
    module, attribute = _REGISTRY[name].split(":")
    return cast(Platform, getattr(importlib.import_module(module), attribute)(settings))
