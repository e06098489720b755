"""Pods that stay though they were deleted, because nobody on their node hears of it.

Only a kubelet ends a pod. To delete one by force (grace 0) removes the object alone: on a machine
that is merely cut off the process runs on, unseen. So they stay until their node answers again, is
deleted, or is said to be off by whoever may taint nodes; Kubernetes then ends them by itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, ApiError
from ebbtide.infra.platforms.kubernetes.kinds import NODE, Object
from ebbtide.infra.platforms.kubernetes.reading.failures import out_of_reach
from ebbtide.infra.platforms.kubernetes.reading.snapshot import holds, leaving, moment, node_of
from ebbtide.infra.waiting import wall_s

_OVERDUE_S = 3.0
"""So much later than a kubelet should have ended a pod its node is asked for."""


def stranded(api: Api, pods: Iterable[Object]) -> dict[str, str]:
    """Find the pods that nobody can end for now. Asks nothing while all go in their time.

    Args:
        api: of the namespace. Where it may not read nodes, what their pods tell must do.
        pods: that may be among them.

    Returns:
        By the pod's name that of its node, which does not answer or does not exist any more.
    """
    now = wall_s() + api.ahead_s
    suspects = [pod for pod in pods if leaving(pod) and node_of(pod) and _suspect(pod, now)]
    lost = {node: _lost(api, node) for node in {node_of(pod) for pod in suspects}}
    return {
        pod["metadata"]["name"]: node_of(pod)
        for pod in suspects
        if (out_of_reach(pod) if lost[node_of(pod)] is None else lost[node_of(pod)])
    }


def _suspect(pod: Object, now: float) -> bool:
    until = moment(pod["metadata"].get("deletionTimestamp"))
    return out_of_reach(pod) or (until is not None and now - until > _OVERDUE_S)


def _lost(api: Api, name: str) -> bool | None:
    """Whether a node does not answer or has gone; None when that may not be asked."""
    try:
        node = api.get(NODE, name)
    except ApiError as error:
        if error.status == FORBIDDEN:
            return None
        raise
    return node is None or not holds(node, "Ready")
