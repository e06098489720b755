"""The verbs every platform has, and the registry that finds one by name.

All verbs converge: called twice, or after a crash, what is there is adopted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.files.kept import KeptFile
from ebbtide.infra.files.place import place_in_use
from ebbtide.infra.loading import load
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.hardware import Machines, NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.records.routed.store import away_from
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

_END_BYTES = 2**16
LOOPBACK_PAGE_HOSTS = ("localhost", "127.0.0.0/8", "::1")
"""By which names a browser may call pages of this machine, or through a port-forward: those that
nobody else's name server can give away."""
_HERE = "local"
_REGISTRY = {
    _HERE: "ebbtide.infra.platforms.local.platform:LocalPlatform",
    "kubernetes": "ebbtide.infra.platforms.kubernetes.platform:KubernetesPlatform",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldResource:
    """One thing that is alive on the platform, found by its mark, at ``where``."""

    cluster: ClusterId
    role: str
    """head, worker, driver, supervisor, guard, folder; flow."""
    name: str
    where: str
    age_s: float
    until: str = ""
    stays: bool = False
    """Whether nobody can end it until then: its node does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What the pages of a cluster want to be told."""

    user: str
    password: str = field(repr=False)
    """Never on a command line, in an event or in a log."""
    password_file: Path
    """Readable by its owner only, and gone with the cluster."""


class LogStream(Protocol):
    """One log of a run while it grows: what has been read is not given again."""

    def read(self, max_bytes: int = ...) -> bytes:
        """Return what is new, at most so many bytes; empty when nothing is, or not yet."""
        ...

    def pieces(self) -> Iterator[bytes]:
        """Return all there is now, piece by piece; call again for what has come since."""
        ...

    def skip(self, keep_bytes: int) -> int:
        """Leave out all but about the last so many bytes. Returns how many bytes those were."""
        ...


class Platform(Protocol):
    """Where clusters live. For one thread: it keeps its records open.

    Every verb that reads or writes records raises ProvisioningError LEDGER_UNWRITABLE where they
    cannot be, and has then changed nothing. A cluster that is not known is no error: there is
    nothing to do for it.
    """

    name: str

    def problems(
        self, spec: RunSpec | None = None, environ: Mapping[str, str] = os.environ
    ) -> list[Problem]:
        """Find out why this platform cannot run a spec; asked before anything is made.

        Args:
            spec: what is to be run; None: whatever it is.
            environ: of the process that asks; the program's is what the user had of it.

        Returns:
            All that is wrong, each with what to do; empty when it can.
        """
        ...

    def cluster_id(self, run: RunName, attempt: int) -> ClusterId:
        """Return the id of a run's nth cluster (1 = the first), declared or not.

        For whoever renews its lease or looks for it before it is declared. Touches nothing.
        """
        ...

    def declare(self, spec: RunSpec, attempt: int) -> ClusterId:
        """Begin steps 1 to 4: the lease, then head and first workers together in their turn.

        Args:
            spec: of the run, which is in the store.
            attempt: of the run; 1 = the first. Declared again, nothing is made twice.

        Returns:
            The id of the cluster, as ``cluster_id`` returns it.

        Raises:
            ProvisioningError: LAUNCH_FAILED or LEDGER_UNWRITABLE; nothing was left behind, or
                ``orphans`` finds it.
        """
        ...

    def clusters(self, run: RunName) -> tuple[ClusterId, ...]:
        """List the clusters that were declared for a run, oldest first; also released ones."""
        ...

    def attach_autoscaler(self, cluster: ClusterId) -> None:
        """Step 5: from now on the policy of the spec decides the number of workers."""
        ...

    def attach_stdin(self, run: RunName, stdin: int) -> AbstractContextManager[None]:
        """Let a run's own program, when it is started, read a file of this process.

        A program that is started before the block is entered or after it is left, and every one of
        a run that nobody attaches to, reads the end of a file at once. A fresh attempt's program is
        attached too: it reads a regular file from where the first one began, and anything else from
        where the one before has stopped. A platform that can hand over the file itself does; any
        other copies it, and then reads ahead of the program.

        Args:
            run: its name; it need not have a cluster yet.
            stdin: the number of the open file; it stays the caller's to close.

        Returns:
            A context manager, for as long as programs of the run may be started.
        """
        ...

    def start_job(self, cluster: ClusterId, *, then_release: bool = False) -> None:
        """Step 6: run the spec's program, once, when the workers are there. Does not wait for it.

        Args:
            cluster: its id; called again, the program is not started again.
            then_release: whether its end is the cluster's end, without anybody saying so.
        """
        ...

    def start_program(self, cluster: ClusterId, name: str, job: JobSpec) -> None:
        """Run one more program on a cluster that a flow holds; once for each name.

        Args:
            cluster: its id.
            name: of the program on its cluster.
            job: the program.
        """
        ...

    def stop_program(self, cluster: ClusterId, name: str) -> None:
        """End a program that a flow runs on a cluster it holds; the cluster stays."""
        ...

    def repeat(self, cluster: ClusterId, step: Step) -> None:
        """Clear the failure of a step and try it again on the same cluster."""
        ...

    def release(self, cluster: ClusterId, reason: Reason | None, *, at_once: bool = False) -> None:
        """Step 7: begin to give everything back.

        Args:
            cluster: its id; released again, nothing happens.
            reason: why; None when all went well.
            at_once: whether the program has no time to end by itself.
        """
        ...

    def observe(self, cluster: ClusterId) -> ClusterView | None:
        """Return the cluster as it is now; None when it was never declared or has been forgotten.

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
        """Release the cluster if it has no living owner, or one that does not obey.

        Cheap when it has one, so that whoever waits for the cluster can call it at every look.

        Returns:
            Whether that was done now, and nothing is left.
        """
        ...

    def login(self, cluster: ClusterId) -> Login | None:
        """Return how to sign in to the dashboard; None when it has none, or has been released."""
        ...

    def page(self, view: ClusterView) -> AbstractContextManager[str]:
        """Lead to a cluster's dashboard while the block lasts: its URL here; empty: none."""
        ...

    def renew(self, cluster: ClusterId, lease_s: float | None = None) -> bool:
        """Renew the lease once, as its heartbeat; or also change how long it lasts.

        Args:
            cluster: its id.
            lease_s: seconds that the cluster outlives this renewal and those that follow; None: as
                long as before. No platform grants more than ``infra.policy.lease.LONGEST_S``.

        Returns:
            False when there is no such living cluster.

        Raises:
            ProvisioningError: LEDGER_UNWRITABLE; the lease is then as it was.
        """
        ...

    def claim(self, cluster: ClusterId) -> bool:
        """Take the cluster over where nobody living drives it, and tell whether that is us now.

        For a flow process before it releases a cluster or ends its run. True also when it is gone.
        """
        ...

    def tended(self, cluster: ClusterId) -> AbstractContextManager[None]:
        """Do for a cluster, while the block lasts, what its platform has nobody else for.

        Whoever renews its lease says this too; the cluster need not be declared yet. On a platform
        where another process owns each cluster nothing is done. Entered several times in one
        process, for one cluster, it is done once.

        Args:
            cluster: its id.

        Returns:
            A context manager, for use in any thread.
        """
        ...

    def held(self, cluster: ClusterId | None = None) -> list[HeldResource]:
        """List everything alive of one cluster, or of all clusters of this installation.

        It is found by the mark it carries, whatever the records say.
        """
        ...

    def orphans(self) -> tuple[ClusterId, ...]:
        """List clusters of which something is left and that no living owner will release."""
        ...

    def neglected(self) -> tuple[ClusterId, ...]:
        """List clusters that only seem to have no living owner: ``reap`` judges, by watching."""
        ...

    def sweep(self, cluster: ClusterId) -> list[HeldResource]:
        """End whatever has its mark, and record that; returns what is left, if it resisted."""
        ...

    def logs(self, run: RunName, source: str) -> Mapping[str, LogStream]:
        """Open logs of a run from their beginning; also before there is any, and after release.

        They belong to the run and not to one cluster: a fresh attempt goes on in them.

        Args:
            run: its name.
            source: ``job``; the name of a program on a held cluster; ``head``, ``worker-0`` and so
                on; or the name of any other file of ``kept``.

        Returns:
            ``stdout`` and ``stderr`` of the job or a program; ``text`` for any other.

        Raises:
            ConfigurationError: OPTION_INVALID, there is no such source; with those there are.
        """
        ...

    def fetch_output(self, run: RunName) -> Path:
        """Return the folder on this machine with what a run's program wrote into its output folder.

        It is fetched when it lies elsewhere, and need not exist when nothing was written.
        """
        ...

    def fetch_artifacts(self, run: RunName) -> Path:
        """Return the folder for ``MemberPaths.artifacts``, fetched here; it need not exist."""
        ...

    def kept(self, run: RunName) -> tuple[KeptFile, ...]:
        """List what a run leaves to look at, also while it goes on; fetches nothing.

        Logs come first, then what programs wrote, then artifacts, without empty and hidden ones.
        """
        ...

    def machines(self, pools: Sequence[NodePool]) -> Machines:
        """List the nodes that pools have now, and where pods of ours are; what may not be is said.

        Each node has how much of it runs hold (millicores and bytes), and what others hold of it.
        """
        ...


def known_platforms() -> tuple[str, ...]:
    """Return every name that ``--platform`` accepts."""
    return tuple(_REGISTRY)


def load_platform(name: str, settings: Settings, store: RunStore | None = None) -> Platform:
    """Load one platform, for the calling thread.

    Args:
        name: one of ``known_platforms``.
        settings: of this installation.
        store: one that is open in this thread, perhaps a copy for looking only; None: the platform
            opens its own. A store that does not have this platform's records is left alone.

    Returns:
        The platform; like its store, it is for one thread.

    Raises:
        KeyError: for another name.
        ConfigurationError: PLATFORM_UNUSABLE, a package that it needs is not installed.
    """
    return cast(Platform, load(_REGISTRY[name], name)(settings, store))


def load_platforms(settings: Settings, store: RunStore | None = None) -> tuple[Platform, ...]:
    """Load all platforms in use, for whoever looks for everything that lives.

    A Kubernetes that nobody has named or used here is not asked, nor one that has just not answered
    the store; see ``load_platform``.
    """
    away = away_from(store)
    used = (
        name
        for name in known_platforms()
        if name == _HERE or (name != away and place_in_use(settings))
    )
    return tuple(load_platform(name, settings, store) for name in used)


def end_of_log(platform: Platform, run: RunName, source: str) -> str:
    """Return the end of a run's log, for finding out what it tells.

    Args:
        platform: of the run.
        run: its name.
        source: as ``Platform.logs`` takes it.

    Returns:
        At most about 64 KiB of text; empty where there is no such log.
    """
    try:
        logs = platform.logs(run, source).values()
    except ConfigurationError:  # it has not written anything, or not yet
        return ""
    found = []
    for log in logs:
        log.skip(_END_BYTES)
        found.append(b"".join(log.pieces()).decode(errors="replace"))
    return "".join(found)
