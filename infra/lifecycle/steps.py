"""The seven steps over any platform: ask for something, wait until it is so, or say why not.

Belongs here: what each step waits for and how it fails. Every step converges: run again, it adopts
what is there.
Does not belong here: retries and Prefect (``tasks``), how a platform does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ebbtide.infra.errors import (
    CapacityError,
    ConfigurationError,
    EbbError,
    ProvisioningError,
    ReleaseError,
)
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.base import HeldResource, Platform, end_of_log, load_platform
from ebbtide.infra.policy.explain.telling import error_line
from ebbtide.infra.policy.limits import StartDeadline, has_started
from ebbtide.infra.records import runs
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s, wait_until

_RELEASE_TIMEOUT_S = 20.0
_TRIED_ON = "ebb held shows it; the reaper tries on"
_START_SLACK_S = 5.0
"""So much later than the platform's own judge: it knows better what was waited for."""
_LOOK_AGAIN_S = 1.0
"""A cluster that does not change is looked after so often: its owner may have died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt of one run on one platform."""

    platform: Platform
    spec: RunSpec
    cluster: ClusterId
    number: int
    """1 = the first."""
    deadline: StartDeadline
    """For steps 2 to 5 and the program's start, all together. Of this process."""

    def for_this_thread(self, settings: Settings) -> Attempt:
        """The same with a platform of its own: a store is not shared between threads."""
        return replace(self, platform=load_platform(self.spec.platform, settings))


def attempt_of(settings: Settings, store: RunStore, spec: RunSpec, number: int = 1) -> Attempt:
    """Return the nth attempt of a run, whether its cluster is there or not.

    Args:
        settings: of this installation.
        store: with the run.
        spec: of the run.
        number: 1 = the first; a session has no other.

    Returns:
        What the steps take. Nothing is made by it.
    """
    platform = load_platform(spec.platform, settings)
    cluster = platform.cluster_id(spec.name, number)
    return Attempt(
        platform=platform,
        spec=spec,
        cluster=cluster,
        number=number,
        deadline=runs.start_deadline(store, spec, cluster, number),
    )


def request_hardware_tier(attempt: Attempt) -> None:
    """Step 1. The spec has been checked when it was built; declare it.

    A program with a machine of its own is declared too, so that this one comes together with those
    of head and workers; it starts when they are there.
    """
    attempt.platform.declare(attempt.spec, attempt.number)
    if attempt.spec.job is not None and attempt.spec.cluster.pool.driver_apart:
        attempt.platform.attach_autoscaler(attempt.cluster)
        attempt.platform.start_job(attempt.cluster)


def wait_for_nodes(attempt: Attempt) -> ClusterView:
    """Step 2. Until the pool has given room.

    Raises:
        CapacityError: NOT_IN_TIME, when there was none within the run's time to start.
    """
    return _reached(attempt, lambda view: view.admitted_at is not None)


def start_head(attempt: Attempt) -> ClusterView:
    """Step 3. Until the head has answered in its own protocol.

    Raises:
        ProvisioningError: HEAD_NOT_READY, with the end of its log.
    """
    return _reached(attempt, lambda view: view.head_ready_at is not None)


def start_workers(attempt: Attempt) -> ClusterView:
    """Step 4. Until the wanted number has registered with the head.

    Raises:
        ProvisioningError: WORKERS_NOT_JOINED, HEAD_LOST.
    """
    return _reached(attempt, lambda view: view.workers_ready_at is not None)


def attach_autoscaler(attempt: Attempt) -> ClusterView:
    """Step 5. Until the policy is in force."""
    attempt.platform.attach_autoscaler(attempt.cluster)
    return _reached(attempt, lambda view: view.autoscaler_at is not None)


def run_user_job(attempt: Attempt) -> ClusterView:
    """Step 6. Until the user's program has ended.

    Raises:
        JobError: when it did not end well.
        ProvisioningError: when its cluster was lost below it.
    """
    attempt.platform.start_job(attempt.cluster)

    def error_of(view: ClusterView) -> EbbError | None:
        started = has_started(view, with_program=True)
        return runs.cluster_error(view) or (None if started else _too_late(attempt, view))

    view = _wait(attempt, lambda view: view.job.ended_at is not None, error_of)
    error = runs.job_error(view)
    if error is not None:
        raise error
    return view


def run_program(attempt: Attempt, name: str, job: JobSpec) -> None:
    """Between steps 5 and 7: run one more program on a cluster that is held, until it has ended.

    Args:
        attempt: whose cluster is up.
        name: of the program on its cluster.
        job: the program.

    Raises:
        JobError: it did not end well.
        ProvisioningError: its cluster was lost below it.
    """
    attempt.platform.start_program(attempt.cluster, name, job)

    def ended(view: ClusterView) -> bool:
        return name in view.programs and view.programs[name].ended_at is not None

    view = _wait(attempt, ended, runs.cluster_error)
    error = runs.job_error(replace(view, job=view.programs[name]))
    if error is not None:
        raise error


def tear_down(
    attempt: Attempt, reason: Reason | None, *, at_once: bool = False
) -> list[HeldResource]:
    """Step 7: release everything, and wait until nothing is left that could be ended.

    A cluster that another process drives is left to it; after a good end its release is waited for.

    Args:
        attempt: whose cluster is released.
        reason: why; None when all went well.
        at_once: whether the program has no time to end by itself.

    Returns:
        What is left: nothing.

    Raises:
        ReleaseError: INCOMPLETE, something could not be released within 20 seconds, nor in the
            time that the platform waits after an outage; or the platform could not be reached.
            Never an error that would begin the whole run anew.
    """
    try:
        left = _released(attempt, reason, at_once=at_once)
    except (ProvisioningError, ConfigurationError) as error:
        if error.reason is Reason.NAMESPACE_GONE:
            return []
        raise ReleaseError(
            Reason.RELEASE_INCOMPLETE, detail=f"{error.summary}: {error.detail}", hint=_TRIED_ON
        ) from error
    if left:
        names = ", ".join(f"{held.role} {held.name} ({held.where})" for held in left)
        until = ", ".join(f"{held.name} stays {held.until}" for held in left if held.until)
        raise ReleaseError(Reason.RELEASE_INCOMPLETE, detail=names, hint=until or _TRIED_ON)
    return []


def _released(attempt: Attempt, reason: Reason | None, *, at_once: bool) -> list[HeldResource]:
    """What is left when it has been given back."""
    platform, cluster = attempt.platform, attempt.cluster
    patience_s = _RELEASE_TIMEOUT_S if reason is None else 0.0
    claimed = partial(platform.claim, cluster)
    if not wait_until(claimed, timeout_s=patience_s, longest_s=_LOOK_AGAIN_S):
        return []
    until_s = now_s() + _RELEASE_TIMEOUT_S
    platform.release(cluster, reason, at_once=at_once)
    if wait_until(lambda: not _endable(platform, cluster), timeout_s=until_s - now_s()):
        return []
    return _endable(platform, cluster) and platform.sweep(cluster)


def _endable(platform: Platform, cluster: ClusterId) -> list[HeldResource]:
    """What is held but for what stays on machines that do not answer, which is told."""
    return [held for held in platform.held(cluster) if not held.stays]


def look(attempt: Attempt) -> ClusterView:
    """What is now; of a cluster that is not known (any more) an empty view."""
    return attempt.platform.observe(attempt.cluster) or ClusterView(cluster=attempt.cluster)


def _reached(attempt: Attempt, done: Callable[[ClusterView], bool]) -> ClusterView:
    """The view as soon as a step before the program's start is done."""

    def error_of(view: ClusterView) -> EbbError | None:
        return runs.job_error(view) or runs.cluster_error(view) or _too_late(attempt, view)

    return _wait(attempt, done, error_of)


def _wait(
    attempt: Attempt,
    done: Callable[[ClusterView], bool],
    error_of: Callable[[ClusterView], EbbError | None],
) -> ClusterView:
    """Wait for something of a cluster. One that nobody takes care of is released meanwhile.

    Args:
        attempt: whose cluster it is.
        done: whether it has come.
        error_of: why it cannot come any more; None when it can.

    Returns:
        What the cluster is then.

    Raises:
        EbbError: that of ``error_of``.
    """
    platform, cluster = attempt.platform, attempt.cluster
    while True:
        platform.reap(cluster)
        seen = platform.observe(cluster)
        view = seen or ClusterView(cluster=cluster)
        if done(view):
            return view
        error = error_of(view)
        if error is not None:
            raise _with_last_error(attempt, error)
        platform.watch(cluster, seen, _LOOK_AGAIN_S)


def _with_last_error(attempt: Attempt, error: EbbError) -> EbbError:
    """Whoever owned the cluster and died may have said why."""
    if error.reason is not Reason.SUPERVISOR_LOST:
        return error
    said = error_line(end_of_log(attempt.platform, attempt.spec.name, "supervisor"))
    detail = f"{error.detail}; its log says: {said}" if said else error.detail
    return ProvisioningError(error.reason, detail=detail, hint=error.hint)


def _too_late(attempt: Attempt, view: ClusterView) -> EbbError | None:
    """The platform judges the time to start; this is for where it has nobody who does."""
    if not attempt.deadline.passed(now_s() - _START_SLACK_S):
        return None
    detail, waits = attempt.deadline.told, view.waiting
    if waits is None:
        return CapacityError(Reason.NOT_IN_TIME, detail=detail)
    return CapacityError(Reason.NOT_IN_TIME, detail=f"{detail}; {waits.message}", hint=waits.hint)


def repeatable(error: BaseException) -> bool:
    """Whether the same step may be tried again on the same cluster: it is still there."""
    return (
        isinstance(error, ProvisioningError)
        and not error.in_vain
        and error.reason
        in (
            Reason.HEAD_NOT_READY,
            Reason.WORKERS_NOT_JOINED,
        )
    )


def repeat(attempt: Attempt, step: Step) -> None:
    """Before a step's second try: forget its failure."""
    attempt.platform.repeat(attempt.cluster, step)
