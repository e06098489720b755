"""Tells what has become of a cluster: views go in, events and the recorded view come out."""

from __future__ import annotations

from dataclasses import fields

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Step
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.limits import awaited_step
from ebbtide.infra.policy.scaling import targets_text


class Teller:
    """Compares each view with the one before; begins with what was recorded last."""

    def __init__(self, spec: RunSpec, namespace: str, reporter: StatusReporter):
        failure = reporter.view.failure
        self._failed = failure.reason if failure is not None else None
        """What it failed with, as has been told."""
        self._spec, self._namespace, self._reporter = spec, namespace, reporter

    def tell(self, view: ClusterView, nodes: int) -> None:
        """Record what is new in a view.

        ``nodes``: on how many the cluster's pods are.
        """
        before = self._reporter.view
        self._reporter.update(**{each.name: getattr(view, each.name) for each in fields(view)})
        self._tell_waiting(before, view)
        self._tell_steps(before, view, nodes)
        self._tell_failure(before, view)
        self._tell_job(before, view)
        self._reporter.flush()

    def _placed(self, view: ClusterView, nodes: int) -> str:
        """How many pods have a node, and what that took."""
        cluster = self._spec.cluster
        pods = 1 + (cluster.policy.min_workers if cluster.has_workers else 0)
        where = f"{nodes} node{'s' * (nodes != 1)} of pool {cluster.pool.name}"
        grew = f", which grew in {format_duration(view.growth_s)}" if view.growth_s else ""
        return f"{pods} pod{'s' * (pods > 1)} on {where}{grew}"

    def _tell_steps(self, before: ClusterView, view: ClusterView, nodes: int) -> None:
        cluster, policy = self._spec.cluster, self._spec.cluster.policy
        alone = not cluster.has_workers
        if view.admitted_at is not None and before.admitted_at is None:
            self._reporter.done(Step.WAIT_FOR_NODES, self._placed(view, nodes))
        if view.head_ready_at is not None and before.head_ready_at is None:
            message = "none needed" if alone else f"answers in namespace {self._namespace}"
            more = {} if alone else {"open": f"ebb open {self._spec.name}"}
            self._reporter.done(Step.START_HEAD, message, **more)
        if view.workers_ready_at is not None and before.workers_ready_at is None:
            joined = f"{view.workers_joined} of {policy.min_workers} joined"
            self._reporter.done(Step.START_WORKERS, "none needed" if alone else joined)
        if view.autoscaler_at is not None and before.autoscaler_at is None:
            bounds = f"{policy.min_workers}–{policy.max_workers} workers"
            message = "none needed" if alone else f"{targets_text(policy)} · {bounds}"
            if cluster.by_operator:
                message = "none: Dask's operator has made the workers"
            self._reporter.done(Step.ATTACH_AUTOSCALER, message)

    def _tell_job(self, before: ClusterView, view: ClusterView) -> None:
        if view.job.started_at is not None and before.job.started_at is None:
            self._reporter.event(EventKind.JOB_STARTED, "the program runs", step=Step.RUN_USER_JOB)
        if view.job.ended_at is None or before.job.ended_at is not None:
            return
        if view.job.reason is None or view.job.reason is not self._failed:
            self._reporter.job_ended(view.job)

    def _tell_failure(self, before: ClusterView, view: ClusterView) -> None:
        """Once for each reason: its details change while more of it is seen."""
        failure = view.failure
        if failure is None or failure.reason is self._failed:
            return
        self._failed = failure.reason
        if before.job.ended_at is None or before.job.reason is not failure.reason:
            self._reporter.fail(failure)

    def _tell_waiting(self, before: ClusterView, view: ClusterView) -> None:
        waits, message = view.waiting, before.waiting.message if before.waiting else ""
        if waits is not None and waits.message != message:
            self._reporter.event(
                EventKind.STEP_WAITING,
                waits.message,
                step=awaited_step(view),
                reason=waits.reason,
                hint=waits.hint,
            )
