"""The local platform's verbs: rows in the ledger, and a supervisor that makes them true."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ebbtide.infra.errors import EbbError, Problem
from ebbtide.infra.files.kept import KeptFile
from ebbtide.infra.files.private import private_folder, private_opener, write_private
from ebbtide.infra.files.tails import Tail
from ebbtide.infra.frameworks import door
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.hardware import Machines, Node, NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.orders import (
    Autoscale,
    Release,
    Repeat,
    StartJob,
    StartProgram,
    StopProgram,
)
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import Cluster, RunLimits
from ebbtide.infra.platforms.base import HeldResource, Login
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.layout import Layout
from ebbtide.infra.platforms.local.neighbours import neighbours
from ebbtide.infra.platforms.local.pool import free_room
from ebbtide.infra.platforms.local.problems import framework_problems, machine_problems
from ebbtide.infra.platforms.local.watching import Watch, view_of
from ebbtide.infra.platforms.run_folder import ARTIFACTS, OUTPUT, kept_files, log_files
from ebbtide.infra.platforms.upkeep.stdin import handed_over
from ebbtide.infra.processes.environment import our_environment
from ebbtide.infra.processes.identity import lives
from ebbtide.infra.processes.starting import Ours
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.routed.store import local_half
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_BALLAST_BYTES = 2**19
"""SQLite's log grows by a few pages (4 KiB) for each of the last rows."""
_OBEY_S = 20.0
"""A supervisor that has not released its cluster this long after it was told to hangs."""
_BIRTH_S = 20.0
"""A supervisor that has not written its process id after this long was never born."""


class LocalPlatform:
    """See ``infra.platforms.base.Platform``. One object a thread: it keeps a ledger open."""

    name = "local"

    def __init__(self, settings: Settings, store: RunStore | None = None):
        self.settings = settings
        local = local_half(store)
        self.ledger = local if isinstance(local, Ledger) else Ledger(settings.home)

    def problems(
        self, spec: RunSpec | None = None, environ: Mapping[str, str] = os.environ
    ) -> list[Problem]:
        """Of this machine, and of the framework that is installed beside us."""
        return machine_problems() + (framework_problems(spec, environ) if spec else [])

    def cluster_id(self, run: RunName, attempt: int) -> ClusterId:
        """Such as ``copper-heron-1``: a retry of the same attempt finds what is there."""
        return ClusterId(f"{run}-{attempt}")

    def declare(self, spec: RunSpec, attempt: int) -> ClusterId:
        """Add the cluster to its pool's queue and give it a supervisor."""
        cluster = self.cluster_id(spec.name, attempt)
        self.ledger.add_cluster(
            cluster,
            spec.name,
            attempt=attempt,
            pool=spec.cluster.pool.name,
            lease_s=spec.lease_s,
            limits=RunLimits.of(spec.cluster),
        )
        found = self.ledger.cluster(cluster)
        if found is not None and found.claimed:
            return cluster  # adopted with its supervisor, also on a disk that is full by now
        claimed = False
        try:
            folder = self._make_folders(spec, cluster)
            claimed = self.ledger.claim_cluster(cluster)
            if claimed:
                self._start_guard(spec.name, cluster, attempt, folder)
        except (OSError, EbbError) as failure:
            with contextlib.suppress(EbbError):
                # Else it is another process's by now.
                if claimed or self.ledger.claim_cluster(cluster):
                    self.sweep(cluster)
            error = runs.launch_error(failure)
            if error is failure:
                raise
            raise error from failure
        return cluster

    def clusters(self, run: RunName) -> tuple[ClusterId, ...]:
        """From the ledger, which keeps them as long as their run."""
        return tuple(self.ledger.clusters_of(run))

    def _make_folders(self, spec: RunSpec, cluster: ClusterId) -> Path:
        """Make the run's and the cluster's; returns the run's."""
        home, folder = self.settings.home, self.settings.run_folder(spec.name)
        private_folder(home, "runs", spec.name, "output")
        private_folder(home, "clusters", cluster)
        write_private(folder / "spec.json", to_json(spec))
        _lay_ballast(self.settings.cluster_folder(cluster))
        return folder

    def attach_autoscaler(self, cluster: ClusterId) -> None:
        """The supervisor begins to scale when the workers are there."""
        self.ledger.order(cluster, Autoscale())

    def attach_stdin(self, run: RunName, stdin: int) -> AbstractContextManager[None]:
        """The program gets the file itself, from this process."""
        folder = private_folder(self.settings.home, "runs", run)
        return handed_over(folder, stdin)

    def start_job(self, cluster: ClusterId, *, then_release: bool = False) -> None:
        """The supervisor starts the program when the workers are there."""
        self.ledger.order(cluster, StartJob(then_release=then_release))

    def start_program(self, cluster: ClusterId, name: str, job: JobSpec) -> None:
        """The supervisor starts it beside what runs already."""
        self.ledger.order(cluster, StartProgram(name=name, job=job))

    def stop_program(self, cluster: ClusterId, name: str) -> None:
        """The supervisor ends it: SIGTERM, and SIGKILL three seconds later."""
        self.ledger.order(cluster, StopProgram(name=name))

    def repeat(self, cluster: ClusterId, step: Step) -> None:
        """The supervisor forgets the failure and tries again."""
        self.ledger.order(cluster, Repeat(step=step, at=wall_s()))

    def release(self, cluster: ClusterId, reason: Reason | None, *, at_once: bool = False) -> None:
        """Ask the supervisor; where there is none, do it here."""
        self.ledger.order(cluster, Release(reason=reason, at_once=at_once, at=wall_s()))
        if not self.supervised(cluster):
            self.sweep(cluster)

    def observe(self, cluster: ClusterId) -> ClusterView | None:
        """The supervisor's last word."""
        return view_of(self.ledger.cluster(cluster))

    def watch(
        self, cluster: ClusterId, seen: ClusterView | None, timeout_s: float
    ) -> ClusterView | None:
        """Looked at four times a second at least; read only when the ledger was written to."""
        return Watch(self.ledger, cluster).until_it_differs(seen, timeout_s)

    def reap(self, cluster: ClusterId) -> bool:
        """When its supervisor and its guard are dead, or do not do what they were told."""
        found = self.ledger.cluster(cluster)
        if found is None or found.released or not self._unowned(found):
            return False
        again = self.ledger.cluster(cluster)  # its owner may have released it meanwhile, and gone
        if again is None or again.released:
            return False
        return not self.sweep(cluster)

    def login(self, cluster: ClusterId) -> Login | None:
        """From the cluster's folder."""
        secrets = Layout(self.settings.cluster_folder(cluster)).secrets
        try:
            password = door.read_secret(secrets)
        except FileNotFoundError:
            return None
        file = secrets / door.SECRET_FILE
        return Login(user=door.USER, password=password, password_file=file)

    def page(self, view: ClusterView) -> AbstractContextManager[str]:
        """Where the head listens, on this machine."""
        return contextlib.nullcontext(view.dashboard)

    def renew(self, cluster: ClusterId, lease_s: float | None = None) -> bool:
        """One more renewal; its supervisor and its guard judge by the number of renewals."""
        return self.ledger.renew(cluster, lease_s)

    def claim(self, cluster: ClusterId) -> bool:
        """Its supervisor drives it, whoever asks for its release."""
        del cluster
        return True

    def tended(self, cluster: ClusterId) -> AbstractContextManager[None]:
        """Nothing is done here: its supervisor does it."""
        del cluster
        return contextlib.nullcontext()

    def supervised(self, cluster: ClusterId) -> bool:
        """Whether somebody living owns it: its supervisor, its guard, or one being born."""
        found = self.ledger.cluster(cluster)
        if found is None or found.released:
            return False
        if lives(found.supervisor):
            return True
        if found.supervisor is None and wall_s() - found.created < _BIRTH_S:
            return True
        living = marks.marked(self.settings.home, cluster)
        return any(process.role == "guard" for process in living)

    def held(self, cluster: ClusterId | None = None) -> list[HeldResource]:
        """List what is alive, found by the marks of processes and by folders, never by records."""
        processes = [
            HeldResource(
                cluster=process.cluster,
                role=process.role,
                name=process.name,
                where=f"pid {process.pid}",
                age_s=process.age_s,
            )
            for process in marks.marked(self.settings.home, cluster)
        ]
        return processes + self._folders(cluster)

    def neglected(self) -> tuple[ClusterId, ...]:
        """None: whether an owner lives is seen at once here."""
        return ()

    def sweep(self, cluster: ClusterId) -> list[HeldResource]:
        """End it all here and now, and say so in the ledger."""
        folder = self.settings.cluster_folder(cluster)
        marks.sweep(self.settings.home, cluster, folder, spare=frozenset({os.getpid()}))
        left = [held for held in self.held(cluster) if held.where != f"pid {os.getpid()}"]
        if not left:  # the first who says so is remembered
            found = self.ledger.cluster(cluster)
            order = found.orders.release if found else None
            reason = (order.reason if order else None) or Reason.SUPERVISOR_LOST
            self.ledger.mark_released(cluster, by="reaper", reason=reason)
        return left

    def _unowned(self, cluster: Cluster) -> bool:
        """Its owner is dead, or was told to release it and hangs."""
        order = cluster.orders.release
        overdue = order is not None and wall_s() - order.at > _OBEY_S
        return overdue or not self.supervised(cluster.id)

    def orphans(self) -> tuple[ClusterId, ...]:
        """Clusters with something alive, or a row, and nobody living who will release them.

        The machine first: a cluster is in the ledger before anything of it is made.
        """
        on_machine = {held.cluster for held in self.held()}
        in_ledger = {found.id for found in self.ledger.living_clusters()}
        owned = {
            process.cluster
            for process in marks.marked(self.settings.home)
            if process.role in ("guard", "supervisor")
        }
        return tuple(
            cluster
            for cluster in sorted((in_ledger | on_machine) - owned)
            if self._left_behind(cluster)
        )

    def _left_behind(self, cluster: ClusterId) -> bool:
        """Whether it is still there when its owner is not: that may just have released it."""
        if self.supervised(cluster):
            return False
        found = self.ledger.cluster(cluster)
        recorded = found is not None and not found.released
        return recorded or bool(self.held(cluster))

    def logs(self, run: RunName, source: str) -> dict[str, Tail]:
        """From the run's folder."""
        files = log_files(self.settings.run_folder(run), source)
        return {name: Tail(path) for name, path in files.items()}

    def fetch_output(self, run: RunName) -> Path:
        """The program wrote it on this machine: the folder itself."""
        return self.settings.run_folder(run) / OUTPUT

    def fetch_artifacts(self, run: RunName) -> Path:
        """The members wrote it on this machine: the folder itself."""
        return self.settings.run_folder(run) / ARTIFACTS

    def kept(self, run: RunName) -> tuple[KeptFile, ...]:
        """From the run's folder."""
        return tuple(kept_files(self.settings.run_folder(run)))

    def machines(self, pools: Sequence[NodePool]) -> Machines:
        """This machine in each; what is held of it are the pool's shares."""
        beside = neighbours(self.settings.home)
        nodes = {
            pool.name: (
                Node(
                    name=os.uname().nodename,
                    capacity=pool.capacity,
                    used=pool.capacity - free_room(self.ledger, pool),
                    neighbours=beside,
                ),
            )
            for pool in pools
        }
        return Machines(nodes=nodes)

    def _folders(self, cluster: ClusterId | None) -> list[HeldResource]:
        found = []
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(self.settings.clusters.iterdir()):
                if cluster in (None, path.name):
                    age_s = wall_s() - path.stat().st_mtime
                    entry = HeldResource(
                        cluster=ClusterId(path.name),
                        role="folder",
                        name="",
                        where=str(path),
                        age_s=age_s,
                    )
                    found.append(entry)
        return found

    def _start_guard(self, run: RunName, cluster: ClusterId, attempt: int, folder: Path) -> None:
        environment = our_environment(os.environ)
        environment.update(marks.mark(self.settings.home, run, cluster, "guard", "guard"))
        Ours(
            module="ebbtide.infra.platforms.local.guard",
            arguments=(str(self.settings.home), run, cluster, str(attempt)),
            environment=environment,
            log=folder / "supervisor.log",
        ).start()


def _lay_ballast(folder: Path) -> None:
    """Room that the release frees: on a full disk the ledger can still say that it is over."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", opener=private_opener) as file:
        file.write(bytes(_BALLAST_BYTES))
