"""What a cluster cannot go on without and has lost: its head, the pod of its program. Pure."""

from __future__ import annotations

import re

from ebbtide.infra.models.cluster import ClusterView, Failure
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import driver_name, head_name
from ebbtide.infra.platforms.kubernetes.reading.failures import (
    Disruption,
    disruption,
    ending,
    told,
    unfit,
)
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    Snapshot,
    condition,
    leaving,
    main,
    moment,
    node_of,
    state,
)
from ebbtide.infra.policy.attempts import MAX_DEATHS

OF_THE_CLUSTER = (
    Reason.HEAD_LOST,
    Reason.NODE_LOST,
    Reason.EVICTED,
    Reason.RECLAIMED,
    Reason.POD_LOST,
)
"""Failures after which a program fails whatever it does."""
_LARGER = "set a larger --head-tier; ebb logs RUN --from head has its last words"

_LACKS = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")
_IMAGE_HINT = (
    "name an image of this framework in the catalog (images of the pool in ebb.yaml), built from"
    " infra/images/Containerfile with --build-arg FRAMEWORK, or with all that it has"
)


def failure(snapshot: Snapshot, view: ClusterView) -> Failure | None:
    """Say what was lost that the cluster needs.

    Args:
        snapshot: of the cluster.
        view: as far as it has been read: what had been reached before.

    Returns:
        The failure; None while all is there, or when it is being released.
    """
    if snapshot.releasing:
        return None
    head = _head(snapshot, view)
    if head is not None:
        return head
    if view.workers_ready_at is None:
        crashed = _crashed(snapshot, view)
        if crashed is not None:
            return crashed
    return _driver(snapshot, view)


def _head(snapshot: Snapshot, view: ClusterView) -> Failure | None:
    pod = snapshot.head
    begun = view.head_ready_at is not None
    step = Step.RUN_USER_JOB if begun else Step.START_HEAD
    if pod is None:
        return _gone_head(snapshot, step) if begun and view.head_address else None
    died = Reason.HEAD_LOST if begun else Reason.HEAD_NOT_READY
    taken = disruption(pod)
    made_at = moment(pod["metadata"].get("creationTimestamp"))
    if begun and made_at and view.head_ready_at and made_at > view.head_ready_at:
        return Failure(step=step, reason=died, detail="its pod was lost, and made again, empty")
    # Dask's operator has it started again.
    before = (main(pod) or {}).get("lastState") or {}
    terminated = state(pod, "terminated") or before.get("terminated")
    if terminated is not None:
        end = ending(pod, terminated)
        if end.never_ran:
            reason, detail = Reason.IMAGE_UNUSABLE, f"the head's container {end.sentence}"
            return Failure(step=step, reason=reason, detail=detail)
        lacking = _LACKS.search(str(terminated.get("message") or "")) if not begun else None
        if lacking is not None:
            return _without(pod, lacking[1].partition(".")[0])
        memory = end.out_of_memory or end.child_out_of_memory
        if taken is not None and not memory:
            return Failure(step=step, reason=taken.told, detail=f"the head: {taken.sentence}")
        hint = _LARGER if memory else ""
        return Failure(step=step, reason=died, detail=f"the head {end.sentence}", hint=hint)
    if taken is not None:
        return Failure(step=step, reason=taken.told, detail=f"the head: {taken.sentence}")
    return None


def _without(pod: Object, module: str) -> Failure:
    """Its image has something else in it than the catalog says, as its last words tell."""
    image = next(each["image"] for each in pod["spec"]["containers"])
    detail = f"image {image} has no {module}, which the head needs"
    return Failure(
        step=Step.START_HEAD, reason=Reason.IMAGE_UNUSABLE, detail=detail, hint=_IMAGE_HINT
    )


def _gone_head(snapshot: Snapshot, step: Step) -> Failure:
    taken = _taken(snapshot, head_name(snapshot.cluster))
    if taken is not None:
        return Failure(step=step, reason=taken.told, detail=f"the head: {taken.sentence}")
    return Failure(step=step, reason=Reason.HEAD_LOST, detail="its pod has gone")


def _crashed(snapshot: Snapshot, view: ClusterView) -> Failure | None:
    """First workers that die again and again before all of them are there."""
    for pod in snapshot.workers:
        status = main(pod) or {}
        if leaving(pod) or status.get("ready"):
            continue
        deaths = int(status.get("restartCount", 0)) + (state(pod, "terminated") is not None)
        last = state(pod, "terminated") or (status.get("lastState") or {}).get("terminated")
        if not last:
            continue
        end = ending(pod, last)
        name = view.worker_names.get(pod["metadata"]["name"], "a worker")
        if end.never_ran:
            reason, detail = Reason.IMAGE_UNUSABLE, f"{name} {end.sentence}"
            return Failure(step=Step.START_WORKERS, reason=reason, detail=detail)
        refused = unfit(told(last))
        if refused is not None:
            reason, hint = refused.reason, refused.hint
            detail = f"{name} on node {node_of(pod)}: {refused.telling}"
            return Failure(step=Step.START_WORKERS, reason=reason, detail=detail, hint=hint)
        if deaths >= MAX_DEATHS:
            detail = f"{name} {end.sentence}, {deaths} times before it was seen to be ready"
            reason, hint = Reason.WORKERS_NOT_JOINED, f"see ebb logs RUN --from {name}"
            if end.out_of_memory or end.child_out_of_memory:
                hint = "use a larger --tier"
                if view.job.started_at is not None:  # whose task it may have had, and died of
                    reason = Reason.OUT_OF_MEMORY
            return Failure(step=Step.START_WORKERS, reason=reason, detail=detail, hint=hint)
    return None


def _driver(snapshot: Snapshot, view: ClusterView) -> Failure | None:
    """A program that ended is told by its own view; this is for one that cannot tell any more."""
    if view.job.ended_at is not None:
        return None
    pod, step = snapshot.driver, Step.RUN_USER_JOB
    if pod is None:
        if view.job.started_at is None:
            return None
        taken = _taken(snapshot, driver_name(snapshot.cluster))
        if taken is not None and taken.reason is not Reason.POD_LOST:
            return Failure(step=step, reason=taken.told, detail=f"the program: {taken.sentence}")
        detail = "the program's pod has gone, with how the program ended"
        return Failure(step=step, reason=Reason.POD_LOST, detail=detail)
    taken = disruption(pod)
    if taken is None or state(pod, "terminated") is not None:
        return None
    target = condition(pod, "DisruptionTarget")
    if taken.reason is not Reason.NODE_LOST and main(pod) is not None and leaving(pod):
        return None  # it is ending, and will say how
    if taken.reason is Reason.EVICTED and target is not None and state(pod, "running"):
        return None
    return Failure(step=step, reason=taken.told, detail=f"the program: {taken.sentence}")


def _taken(snapshot: Snapshot, pod: str) -> Disruption | None:
    """What was done to a pod that has gone between two looks; None: not known."""
    gone = snapshot.gone.get(pod)
    return disruption(gone) if gone is not None else None
