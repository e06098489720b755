"""What is done about once a second for a cluster whose head answers: figures, bounds, limits."""

from __future__ import annotations

from collections.abc import Mapping

from ebbtide.infra.frameworks.base import FrameworkStatus, load_framework
from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, leaving
from ebbtide.infra.platforms.kubernetes.tending.figures import PERIOD_S, Figures
from ebbtide.infra.platforms.kubernetes.tending.head import Head, hosts_of
from ebbtide.infra.platforms.kubernetes.tending.limits import Limits
from ebbtide.infra.platforms.kubernetes.tending.scaling.costs import DeletionCosts
from ebbtide.infra.platforms.kubernetes.tending.scaling.events import ScalingEvents
from ebbtide.infra.platforms.kubernetes.tending.scaling.floor import Floor
from ebbtide.infra.platforms.upkeep.demand import DemandWatch
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.usage import UsageRecorder
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s

_EVERY_S = 1.0


class Upkeep:
    """Of one cluster."""

    def __init__(self, api: Api, store: RunStore, spec: RunSpec, reporter: StatusReporter):
        """Ask nothing yet.

        Args:
            api: of the namespace.
            store: for the cluster's book.
            spec: of the run.
            reporter: has the cluster's id.
        """
        cluster = reporter.view.cluster
        recorder = UsageRecorder(store, cluster, period_s=PERIOD_S)
        self._figures = Figures(api, spec, recorder, reporter)
        self._limits = Limits(api, spec, reporter)
        self._workers = _Workers(api, spec, reporter) if spec.cluster.has_workers else None
        self._looked_s = 0.0

    def tick(self, snapshot: Snapshot, view: ClusterView) -> None:
        """Look once, if a second has passed.

        Args:
            snapshot: of the cluster.
            view: of the same moment.
        """
        if now_s() - self._looked_s < _EVERY_S or snapshot.releasing:
            return
        self._looked_s = now_s()
        status = None
        if self._workers is not None and view.head_ready_at is not None:
            status = self._workers.ask(snapshot)
        self._figures.tick(snapshot.pods, view.worker_names, view, status)
        if self._workers is not None and view.workers_ready_at is not None:
            self._workers.tick(snapshot, view.worker_names, status)
        self._limits.tick(view, snapshot.now, status, self._figures)

    def told(self, job: JobView) -> JobView:
        """The program's end, with our reason where we ended it."""
        return self._limits.told(job)

    def last_look(self, snapshot: Snapshot, view: ClusterView) -> None:
        """Close the book, because the pods are about to go."""
        self._figures.tick(snapshot.pods, view.worker_names, view, None, last=True)

    def close(self) -> None:
        """End the connection to the head."""
        if self._workers is not None:
            self._workers.close()


class _Workers:
    """Of a cluster that has some."""

    def __init__(self, api: Api, spec: RunSpec, reporter: StatusReporter):
        cluster, policy = reporter.view.cluster, spec.cluster.policy
        framework = load_framework(spec.cluster.framework)
        self._head = Head(api, cluster, framework)
        self._demand = DemandWatch(spec.cluster, framework, reporter)
        self._floor = Floor(api, cluster, policy, reporter)
        self._costs = DeletionCosts(api)
        self._events = ScalingEvents(policy, reporter)
        self.close = self._head.close

    def ask(self, snapshot: Snapshot) -> FrameworkStatus | None:
        """What the head says now."""
        return self._head.ask(hosts_of(snapshot.workers))

    def tick(
        self, snapshot: Snapshot, names: Mapping[str, str], status: FrameworkStatus | None
    ) -> None:
        """Keep bounds and costs up; without an answer of the head they stay as they are."""
        if status is not None:
            staying = [pod for pod in snapshot.workers if not leaving(pod)]
            joined = [pod for pod in staying if pod["metadata"]["name"] in status.workers]
            self._demand.look(status, len(staying), all_joined=len(joined) == len(staying))
            self._costs.tick(snapshot.workers, status)
            stay = {
                names.get(name, name): worker.stays_because
                for name, worker in status.workers.items()
                if worker.stays_because
            }
            wanted = self._demand.wanted
            self._floor.tick(snapshot.autoscaler, snapshot.deployment, wanted, stay)
        floor = (self._floor.workers, self._floor.reason)
        self._events.tick(snapshot.deployment, snapshot.autoscaler, floor)
