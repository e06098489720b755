"""The seven steps over any platform: ask for something, wait until it is so, or say why not.

Belongs here: what each step waits for and how it fails. Every step converges: run again, it adopts
what is there.
Does not belong here: retries and Prefect (``tasks``), how a platform does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from ebbtide.infra.errors import CapacityError, EbbError, ProvisioningError, ReleaseError
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.base import HeldResource, Platform
from ebbtide.infra.records import runs
from ebbtide.infra.waiting import wait_until

_RELEASE_TIMEOUT_S = 20.0
_START_SLACK_S = 5.0
"""The supervisor judges the time to start; this much later we judge it without one."""
_LOOK_AGAIN_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One attempt of one run on one platform."""

    platform: Platform
    spec: RunSpec
    cluster: ClusterId
    attempt: int


def request_hardware_tier(scene: Scene) -> None:
    """Step 1. The spec has been checked when it was built; declare it."""
    scene.platform.declare(scene.spec, scene.cluster, scene.attempt)


def wait_for_nodes(scene: Scene) -> ClusterView:
    """Step 2. Until the pool has given room.

    Raises:
        CapacityError: NOT_IN_TIME, when there was none within the run's time to start.
    """
    return _reached(scene, lambda view: view.admitted_at is not None)


def start_head(scene: Scene) -> ClusterView:
    """Step 3. Until the head has answered in its own protocol.

    Raises:
        ProvisioningError: HEAD_NOT_READY, with the end of its log.
    """
    return _reached(scene, lambda view: view.head_ready_at is not None)


def start_workers(scene: Scene) -> ClusterView:
    """Step 4. Until the wanted number has registered with the head.

    Raises:
        ProvisioningError: WORKERS_NOT_JOINED, HEAD_LOST.
    """
    return _reached(scene, lambda view: view.workers_ready_at is not None)


def attach_autoscaler(scene: Scene) -> ClusterView:
    """Step 5. Until the policy is in force."""
    scene.platform.attach_autoscaler(scene.cluster)
    return _reached(scene, lambda view: view.autoscaler_at is not None)


def run_user_job(scene: Scene) -> ClusterView:
    """Step 6. Until the user's program has ended.

    Raises:
        JobError: when it did not end well.
        ProvisioningError: when its cluster was lost below it.
    """
    scene.platform.start_job(scene.cluster)
    view = _look(scene)
    while view.job.ended_at is None:
        error = runs.cluster_error(view)
        if error is not None:
            raise error
        before = view
        view = wait_until(partial(_changed, scene, before), timeout_s=_LOOK_AGAIN_S) or before
    error = runs.job_error(view)
    if error is not None:
        raise error
    return view


def run_program(scene: Scene, name: str, job: JobSpec) -> None:
    """Between steps 5 and 7: run one more program on a cluster that is held, until it has ended.

    Args:
        scene: whose cluster is up.
        name: of the program on its cluster.
        job: the program.

    Raises:
        JobError: it did not end well.
        ProvisioningError: its cluster was lost below it.
    """
    scene.platform.start_program(scene.cluster, name, job)
    view = _look(scene)
    while name not in view.programs or view.programs[name].ended_at is None:
        error = runs.cluster_error(view)
        if error is not None:
            raise error
        before = view
        view = wait_until(partial(_changed, scene, before), timeout_s=_LOOK_AGAIN_S) or before
    error = runs.job_error(replace(view, job=view.programs[name]))
    if error is not None:
        raise error


def tear_down(scene: Scene, reason: Reason | None, *, at_once: bool = False) -> list[HeldResource]:
    """Step 7: release everything, and wait until the list of what is left is empty.

    Args:
        scene: whose cluster is released.
        reason: why; None when all went well.
        at_once: whether the program has no time to end by itself.

    Returns:
        What is left: nothing.

    Raises:
        ReleaseError: INCOMPLETE, something could not be released within 20 seconds.
    """
    platform, cluster = scene.platform, scene.cluster
    platform.release(cluster, reason, at_once=at_once)
    wait_until(lambda: not platform.held(cluster), timeout_s=_RELEASE_TIMEOUT_S)
    left = platform.held(cluster) and platform.sweep(cluster)
    if left:
        names = ", ".join(f"{held.role} {held.name} ({held.where})" for held in left)
        raise ReleaseError(
            Reason.RELEASE_INCOMPLETE, detail=names, hint="ebb held shows it; the reaper tries on"
        )
    return []


def _reached(scene: Scene, reached: Callable[[ClusterView], bool]) -> ClusterView:
    def arrived() -> ClusterView | None:
        view = _look(scene)
        if reached(view):
            return view
        error = runs.job_error(view) or runs.cluster_error(view)
        if error is not None:
            raise error
        return None

    timeout_s = scene.spec.limits.start_within_s + _START_SLACK_S
    view = wait_until(arrived, timeout_s=timeout_s)
    if view is None:
        allowed = format_duration(scene.spec.limits.start_within_s)
        raise CapacityError(Reason.NOT_IN_TIME, detail=f"{allowed} allowed by --start-within")
    return view


def _look(scene: Scene) -> ClusterView:
    """What is now. One that nobody takes care of is released: no wait outlives its cluster."""
    scene.platform.reap(scene.cluster)
    view = scene.platform.observe(scene.cluster)
    return view or ClusterView(cluster=scene.cluster)


def _changed(scene: Scene, before: ClusterView) -> ClusterView | None:
    view = _look(scene)
    return view if view != before else None


def will_retry(error: EbbError, spec: RunSpec, attempt: int) -> bool:
    """Tell whether the run's policy allows a fresh cluster after this error.

    Args:
        error: what the attempt failed with.
        spec: of the run.
        attempt: the one that failed; 1 = the first.

    Returns:
        Whether another attempt follows.
    """
    if attempt >= spec.retry.attempts or error.reason is Reason.CANCELLED:
        return False
    return error.retryable and error.reason.family in spec.retry.reasons


def repeatable(error: BaseException) -> bool:
    """Whether the same step may be tried again on the same cluster: it is still there."""
    return isinstance(error, ProvisioningError) and error.reason in (
        Reason.HEAD_NOT_READY,
        Reason.WORKERS_NOT_JOINED,
    )


def repeat(scene: Scene, step: Step) -> None:
    """Before a step's second try: forget its failure."""
    scene.platform.repeat(scene.cluster, step)
