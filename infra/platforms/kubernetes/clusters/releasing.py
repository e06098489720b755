"""Giving a cluster back, within seconds and without a drain.

The order was tried (with busy workers that are deaf to SIGTERM: 2.9 s, four requests). A cascade
from the Lease alone would use each pod's own grace, which is its drain budget; pods deleted first
are made again within 0.4 s; grace 0 removes the object while its process runs on, unseen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import volume_of
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, UNAWARE_S, ApiError
from ebbtide.infra.platforms.kubernetes.clusters.awaiting import until
from ebbtide.infra.platforms.kubernetes.clusters.holdings import (
    OWNED,
    found,
    kept_by,
    operated,
)
from ebbtide.infra.platforms.kubernetes.clusters.stranded import Stay, stranded
from ebbtide.infra.platforms.kubernetes.kinds import (
    DASK_CLUSTER,
    DEPLOYMENT,
    LEASE,
    POD,
    REPLICA_SET,
    Kind,
    Object,
)
from ebbtide.infra.platforms.kubernetes.naming import ENDED_BECAUSE, OUTPUTS, RELEASING, selector
from ebbtide.infra.platforms.kubernetes.reading.failures import out_of_reach
from ebbtide.infra.platforms.kubernetes.reading.snapshot import DRIVER, leaving, moment, runs, state
from ebbtide.infra.waiting import wait_until, wall_s

ENDED_WELL = "ok"
PROGRAM_GRACE_S = 4
"""What a program that still runs has to end by itself: three seconds, and one to say so. Its
pod's grace where what it wrote is then brought to a URL."""
_POD_GRACE_S = 1
_GONE_S = 10.0
_USUALLY_S = 5.0
_LOOK_AGAIN_S = 1.0
_TELL_IT = ("/bin/sh", "-c", "kill -TERM 1")
"""The first process of the container passes it on."""


@dataclass(frozen=True, slots=True)
class Left:
    """What a release has left."""

    gone: bool
    """Whether there is nothing any more that could be ended."""
    stays: Mapping[str, Stay] = field(default_factory=dict)
    """Pods that nobody can end for now, and why."""


def mark(api: Api, cluster: ClusterId, reason: Reason | None) -> None:
    """Write down that a cluster is being given back, and why: what ends from now on ends by it.

    Args:
        api: of its namespace.
        cluster: its id.
        reason: why; None when all went well.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    why = {"metadata": {"annotations": {RELEASING: reason.value if reason else ENDED_WELL}}}
    api.merge(LEASE, cluster, why)


def _nobody_waits(_why: str) -> None:
    """For whoever shows nobody what is waited for."""


def release(api: Api, cluster: ClusterId, waits: Callable[[str], None] = _nobody_waits) -> Left:
    """Delete everything of a cluster. Called again, it goes on.

    Args:
        api: of its namespace.
        cluster: its id.
        waits: takes what is waited for, when that takes longer than twenty seconds.

    Returns:
        What is left; not ``gone`` when something resisted for twenty seconds, and after an outage
        of the API server for as long as Kubernetes' own parts may not know that it is over.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    labels = selector(cluster)
    api.delete(DEPLOYMENT, labels=labels, propagation="Orphan")
    api.delete(REPLICA_SET, labels=labels, propagation="Orphan")
    api.delete(POD, labels=labels, grace_s=_POD_GRACE_S)
    if api.delete(LEASE, cluster, propagation="Foreground"):
        # In the foreground it goes last: with it, all that it owned has gone.
        if not until(api, LEASE, cluster, lambda lease: lease is None, timeout_s=_USUALLY_S):
            return _Rest(api, cluster, (POD, LEASE), by_operator=True).awaited(waits)
        # But what is of a kind that was installed a moment ago: the garbage collector looks for
        # new kinds every 30 s, and until then it lets an owner go before these.
        left = _delete_operated(api, cluster)
        return _Rest(api, cluster, (POD,), by_operator=left).awaited(waits)
    for kind in OWNED:  # nobody owns the rest any more, or somebody made it by hand
        api.delete(kind, labels=labels)
    left = _delete_operated(api, cluster)
    return _Rest(api, cluster, OWNED, by_operator=left).awaited(waits)


def _delete_operated(api: Api, cluster: ClusterId) -> bool:
    """Delete what was asked of Dask's operator, where that is allowed: it goes later else.

    Returns whether there was anything.
    """
    things = operated(api, cluster)
    for thing in things:
        try:
            api.delete(DASK_CLUSTER, thing["metadata"]["name"], uid=thing["metadata"]["uid"])
        except ApiError as error:
            if error.status != FORBIDDEN:
                raise
    return bool(things)


class _Rest:
    """What has been deleted of a cluster, and has perhaps not gone yet."""

    def __init__(self, api: Api, cluster: ClusterId, kinds: tuple[Kind, ...], *, by_operator: bool):
        """Nothing is asked yet.

        Args:
            api: of its namespace.
            cluster: its id.
            kinds: of what may be left.
            by_operator: whether something may be left that was asked of Dask's operator.
        """
        self._api, self._cluster, self._kinds = api, cluster, kinds
        self._by_operator = by_operator
        self._others: list[Object] = []

    def awaited(self, waits: Callable[[str], None]) -> Left:
        """Wait until nothing can be ended any more."""
        patience_s = 2 * _GONE_S - _USUALLY_S
        while True:
            left = wait_until(self._look, timeout_s=patience_s, longest_s=_LOOK_AGAIN_S)
            patience_s = self._api.silence.unaware_s
            if left or not patience_s:
                return left or Left(gone=False)
            waits(self._why())

    def _look(self) -> Left | None:
        things = found(self._api, self._cluster, self._kinds)
        if self._by_operator:
            made = operated(self._api, self._cluster)
            self._by_operator = bool(made)  # nobody makes one any more
            things += made
        stays = stranded(self._api, [thing for thing in things if thing["kind"] == POD.name])
        self._others = [thing for thing in things if thing["metadata"]["name"] not in stays]
        if not self._others:
            return Left(gone=True, stays=stays)
        rest = [thing for thing in self._others if thing["kind"] != LEASE.name]
        if stays and not rest:
            # It waits for them, and would keep the cluster as long as they stay.
            self._api.merge(LEASE, self._cluster, {"metadata": {"finalizers": None}})
        in_vain = rest and all(_let_go_by_nobody(self._api, thing) for thing in rest)
        return Left(gone=False) if in_vain else None

    def _why(self) -> str:
        names = ", ".join(f"{each['kind']} {each['metadata']['name']}" for each in self._others)
        outage = self._api.silence.outage
        seconds = outage.seconds if outage is not None else 0.0
        away = f"was away for {format_duration(seconds)}" if seconds else "may have been away"
        unaware = f"its nodes and controllers notice within {format_duration(UNAWARE_S)}"
        return f"the API server {away}, and {unaware} that it is back; left: {names}"


def _let_go_by_nobody(api: Api, thing: Object) -> bool:
    """Whether it has waited for so long for a finalizer of others that nobody seems to be there."""
    deleted_at = moment(thing["metadata"].get("deletionTimestamp")) if kept_by(thing) else None
    return deleted_at is not None and wall_s() + api.ahead_s - deleted_at > _GONE_S


def release_unowned(api: Api, cluster: ClusterId) -> bool:
    """The same for a cluster that no run has: of a plan that was applied, the Lease owns nothing.

    Args:
        api: of its namespace.
        cluster: its id.

    Returns:
        Whether nothing is left that could be ended.

    Raises:
        ApiError: as for ``release``.
    """
    # The second time there is no Lease, and everything goes by its labels.
    return release(api, cluster).gone and release(api, cluster).gone


def end_program(
    api: Api, pod: str, reason: Reason, detail: str = "", *, at_once: bool = False
) -> None:
    """End a user's program, and keep its pod, from which its last output can still be read.

    Args:
        api: of its namespace.
        pod: the driver's.
        reason: why; whoever looks at the pod reads it there.
        detail: one sentence for people; may be empty.
        at_once: whether it has no time to end by itself.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    found = api.get(POD, pod)
    running = found is not None and runs(found, DRIVER)
    # Where its node does not answer nobody hears of it.
    at_once = at_once or (found is not None and out_of_reach(found))
    if found is not None and state(found, "terminated") is None:
        # Also of one that does not run as far as is known: its node may be late to say so.
        because = json.dumps({"reason": reason.value, "detail": detail})
        api.merge(POD, pod, {"metadata": {"annotations": {ENDED_BECAUSE: because}}})
    if found is not None and running and not at_once:
        try:
            with api.run(pod, DRIVER, _TELL_IT) as command:
                while command.read(1.0) is not None:
                    pass
        except ApiError:  # it has just ended, or its node does not answer
            pass
        grace_s = _grace_s(found)
        running = not until(api, POD, pod, lambda now: not runs(now, DRIVER), timeout_s=grace_s)
    if running:
        api.delete(POD, pod, grace_s=_POD_GRACE_S)


def _grace_s(pod: Object) -> float:
    outputs = (pod.get("metadata", {}).get("annotations") or {}).get(OUTPUTS, "")
    if not outputs or volume_of(outputs) is not None:
        return PROGRAM_GRACE_S
    return float(pod["spec"]["terminationGracePeriodSeconds"]) - 1


def delete_failed(api: Api, cluster: ClusterId) -> None:
    """Delete the pods that have ended or cannot start, so that they can be made again.

    Args:
        api: of its namespace.
        cluster: its id.

    Raises:
        ApiError: as for ``release``.
    """
    for pod in api.list(POD, selector(cluster)).items:
        statuses = pod.get("status", {}).get("containerStatuses") or ()
        if any({"terminated", "waiting"} & status["state"].keys() for status in statuses):
            api.delete(POD, pod["metadata"]["name"], grace_s=_POD_GRACE_S)
    wait_until(
        lambda: not any(map(leaving, found(api, cluster, (POD,)))),
        timeout_s=_GONE_S,
    )
