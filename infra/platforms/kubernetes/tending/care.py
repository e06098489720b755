"""All that is done beside a job for the workers of a cluster, and its book, from one look a second.

The tender calls it with each snapshot; nothing here has a thread of its own but what listens for
the head's answers.
"""

from __future__ import annotations

from dataclasses import replace

from ebbtide.infra.frameworks.base import FrameworkStatus, load_framework
from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.reading.job import notes_of
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, leaving
from ebbtide.infra.platforms.kubernetes.tending.figures import PERIOD_S, Figures
from ebbtide.infra.platforms.kubernetes.tending.head import Head, hosts_of
from ebbtide.infra.platforms.kubernetes.tending.limits import Limits
from ebbtide.infra.platforms.kubernetes.tending.scaling.costs import DeletionCosts
from ebbtide.infra.platforms.kubernetes.tending.scaling.events import ScalingEvents, autoscaler_text
from ebbtide.infra.platforms.kubernetes.tending.scaling.floor import Floor
from ebbtide.infra.platforms.kubernetes.tending.scaling.leaving import Leaving
from ebbtide.infra.platforms.upkeep.demand import DemandWatch
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.usage import UsageRecorder
from ebbtide.infra.platforms.upkeep.use import ClusterUse
from ebbtide.infra.policy.cluster_use import Notes
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s

_LOOK_S = 0.9
"""A tender looks about once a second, and whenever something changes."""


class Care:
    """Of one cluster."""

    def __init__(
        self,
        api: Api,
        spec: RunSpec,
        store: RunStore,
        reporter: StatusReporter,
        *,
        age_s: float = 0.0,
    ):
        """Do nothing yet.

        Args:
            api: of the namespace.
            spec: of the run.
            store: where the book is written.
            reporter: has the cluster's id; is told what happens.
            age_s: how long ago the cluster was declared, in seconds: another process may have
                cared for it until now.
        """
        cluster = reporter.view.cluster
        recorder = UsageRecorder(store, cluster, period_s=PERIOD_S, age_s=age_s)
        self.figures = Figures(api, spec, recorder, reporter)
        self._limits = Limits(api, spec, reporter)
        self._reporter = reporter
        self._workers = _Workers(api, spec, reporter) if spec.cluster.has_workers else None
        self._looked_s = 0.0

    def told(self, snapshot: Snapshot, view: ClusterView) -> ClusterView:
        """Prepare a view to be told: of a program that has just ended, its use of the cluster is.

        Args:
            snapshot: of the cluster.
            view: of it.

        Returns:
            The view, with the reason of ours where we have ended the program.
        """
        view = replace(view, job=self._limits.told(view.job))
        has_just_ended = view.job.ended_at and not self._reporter.view.job.ended_at
        if has_just_ended and self._workers is not None and not snapshot.releasing:
            self._workers.program_ended(snapshot, view.job)
        return view

    def tick(self, snapshot: Snapshot, view: ClusterView) -> None:
        """Look at everything once, unless it has just been done.

        Args:
            snapshot: of the cluster.
            view: of it, as it was told.
        """
        if now_s() - self._looked_s < _LOOK_S or snapshot.releasing:
            return
        self._looked_s = now_s()
        status = self._workers.tick(snapshot, view) if self._workers is not None else None
        self.figures.tick(snapshot.pods, view.worker_names, view, status)
        self._limits.tick(view, snapshot.now, status, self.figures)

    def last_look(self, snapshot: Snapshot, view: ClusterView) -> None:
        """Write the book before all ends; the same snapshot and view as for ``tick``."""
        status = self._workers.status if self._workers is not None else None
        self.figures.tick(snapshot.pods, view.worker_names, view, status, last=True)

    def close(self) -> None:
        """End the connection to the head."""
        if self._workers is not None:
            self._workers.head.close()


class _Workers:
    """What a cluster of a framework has, and a plain program has not."""

    def __init__(self, api: Api, spec: RunSpec, reporter: StatusReporter):
        framework, cluster = load_framework(spec.cluster.framework), reporter.view.cluster
        policy = spec.cluster.policy
        self.head = Head(api, cluster, framework)
        self._reporter = reporter
        self.status: FrameworkStatus | None = None
        self._demand = DemandWatch(spec.cluster, framework, reporter)
        self._floor = Floor(api, cluster, policy, reporter)
        self._costs = DeletionCosts(api)
        self._events = ScalingEvents(policy, reporter)
        self._leaving = Leaving(spec.name, reporter)
        self._use = ClusterUse(spec, reporter)
        self._began_s: float | None = None
        """When the program was first seen to run."""

    def tick(self, snapshot: Snapshot, view: ClusterView) -> FrameworkStatus | None:
        """Ask the head, and pass on what it says; returns its answer."""
        self._leaving.tick(snapshot, view.worker_names)
        floor = (self._floor.workers, self._floor.reason)
        self._events.tick(snapshot.deployment, snapshot.autoscaler, floor)
        if snapshot.autoscaler is not None:
            self._reporter.update(autoscaler=autoscaler_text(snapshot.autoscaler))
        if view.head_ready_at is None or view.job.ended_at is not None:
            return None
        status = self.head.ask(snapshot.head_pod, hosts_of(snapshot.workers))
        if status is not None:
            self.status = status
            self._pass_on(snapshot, view, status)
        if view.job.started_at is not None:
            self._began_s = self._began_s or now_s()
            # Its hook's notes come with its end.
            self._use.while_running(now_s() - self._began_s, status, Notes())
        return status

    def program_ended(self, snapshot: Snapshot, job: JobView) -> None:
        """Tell of a cluster that was not used, and of tasks that nobody waits for."""
        hosts, well = hosts_of(snapshot.workers), job.exit_code == 0 and job.reason is None
        self._use.at_the_end(
            lambda: self.head.ask(snapshot.head_pod, hosts), notes_of(snapshot.driver), well=well
        )

    def _pass_on(self, snapshot: Snapshot, view: ClusterView, status: FrameworkStatus) -> None:
        workers, names = snapshot.workers, view.worker_names
        staying = [pod for pod in workers if not leaving(pod)]
        going = {pod["metadata"]["name"] for pod in workers if leaving(pod)}
        self._demand.look(status, len(staying), all_joined=view.workers_joined == len(staying))
        kept = {
            names.get(name, name): worker.stays_because
            for name, worker in status.workers.items()
            # One that was told to go may not have been able to yet.
            if worker.stays_because and not worker.leaving and name not in going
        }
        # Who is idle must be known before the floor lets anybody go.
        self._costs.tick(workers, status)
        self._floor.tick(snapshot.autoscaler, snapshot.deployment, self._demand.wanted, kept)
