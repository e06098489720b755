"""A quota that others use up is a queue: who needs a pod waits until some of it is given back.

Does not belong here: pods that a Deployment makes; it asks for them again by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ebbtide.infra.errors import CapacityError
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import Cluster, Event, EventKind
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, ApiError
from ebbtide.infra.platforms.kubernetes.clusters.awaiting import until
from ebbtide.infra.platforms.kubernetes.kinds import RESOURCE_QUOTA, Object
from ebbtide.infra.platforms.kubernetes.reading.refusals import Refusal, refusal
from ebbtide.infra.policy.limits import StartDeadline
from ebbtide.infra.records import runs
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s, pause

_LOOK_AGAIN_S = 5.0
"""Whether somebody has stopped the run meanwhile; also where quotas may not be watched."""
_Made = TypeVar("_Made")


def in_turn(api: Api, store: RunStore, cluster: ClusterId, make: Callable[[], _Made]) -> _Made:
    """Make pods of a cluster, as soon as its namespace's quota has room for them.

    Args:
        api: of the namespace.
        store: with the run; it is told what is waited for.
        cluster: whose they are.
        make: asks the API server; called again after each change, it makes nothing twice.

    Returns:
        What ``make`` returns.

    Raises:
        ApiError: it was refused for another cause, or the run has been stopped.
        CapacityError: NOT_IN_TIME, there was no room within the run's time to start; QUOTA, there
            is none now, and the run has another tier.
    """
    told = False
    while True:
        try:
            return make()
        except ApiError as error:
            full = refusal(error.message) if error.status == FORBIDDEN else None
            known = store.cluster(cluster)
            run = store.run(known.run) if known is not None else None
            if full is None or full.never or not full.quota or known is None or run is None:
                raise
            if run.over or run.stop_reason is not None or known.orders.release is not None:
                raise
            if run.spec.next_tiers:
                raise CapacityError(Reason.QUOTA, detail=full.sentence, hint=full.hint) from error
            deadline = runs.start_deadline(store, run.spec, cluster, known.attempt)
            if deadline.passed(now_s()):
                if not told:  # a program more on a cluster that has long been there
                    raise
                raise _too_late(deadline, full) from error
        if not told:
            told = True
            _tell(store, known, full)
        _until_it_changes(api, full.quota, min(deadline.left_s(now_s()), _LOOK_AGAIN_S))


def _too_late(deadline: StartDeadline, full: Refusal) -> CapacityError:
    detail = f"{deadline.told}; {full.sentence}"
    return CapacityError(Reason.NOT_IN_TIME, detail=detail, hint=full.hint)


def _tell(store: RunStore, cluster: Cluster, full: Refusal) -> None:
    store.append(
        Event(
            run=cluster.run,
            cluster=cluster.id,
            kind=EventKind.STEP_WAITING,
            step=Step.REQUEST_HARDWARE_TIER,
            reason=full.reason,
            message=full.sentence,
            data={"hint": full.hint},
        )
    )


def _until_it_changes(api: Api, quota: str, timeout_s: float) -> None:
    before: list[object] = []

    def changed(found: Object | None) -> bool:
        now = (found or {}).get("status", {}).get("used"), (found or {}).get("spec")
        before.append(now)
        return found is None or now != before[0]

    try:
        until(api, RESOURCE_QUOTA, quota, changed, timeout_s=timeout_s)
    except ApiError:  # it may not be read
        pause(timeout_s)
