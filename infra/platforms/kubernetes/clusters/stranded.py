"""Pods that stay though they were deleted, because only their node could end them and does not.

Nobody on a node that is cut off hears of it; and a kubelet that still pulls a pod's image ends the
pod when that is over (tried: a registry that never answers). To delete one by force (grace 0)
removes the object alone: what runs or begins on its node does so unseen. So they stay until their
node answers again, is deleted, or is said to be off by whoever may taint nodes; or until the pull
has ended. Kubernetes then ends them by itself. After an outage of the API server a kubelet that has
not ended a pod in time has perhaps not heard of it yet, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, ApiError
from ebbtide.infra.platforms.kubernetes.kinds import NODE, Object
from ebbtide.infra.platforms.kubernetes.reading.failures import out_of_reach
from ebbtide.infra.platforms.kubernetes.reading.snapshot import holds, leaving, moment, node_of
from ebbtide.infra.waiting import wall_s

_OVERDUE_S = 3.0
"""So much later than a kubelet should have ended a pod its node is asked for."""
_PULLS_S = 6.0
"""So much later one whose containers have never begun waits for its image: a busy kubelet that
only made them has ended them by then."""
_NOT_BEGUN = ("ContainerCreating", "PodInitializing")


@dataclass(frozen=True, slots=True)
class Stay:
    """Why a pod stays."""

    node: str
    why: str
    """As a clause about its node: ``does not answer``."""
    until: str
    reason: Reason

    @property
    def where(self) -> str:
        """``on node X, which does not answer``."""
        return f"on node {self.node}, which {self.why}"


def stranded(api: Api, pods: Iterable[Object]) -> dict[str, Stay]:
    """Find the pods that nobody can end for now. Asks nothing while all go in their time.

    Args:
        api: of the namespace. Where it may not read nodes, what their pods tell must do.
        pods: that may be among them.

    Returns:
        By the pod's name why it stays: its node does not answer or does not exist any more, or
        still pulls its image.
    """
    now = wall_s() + api.ahead_s
    if api.silence.unaware_s:
        pods = [pod for pod in pods if out_of_reach(pod)]
    suspects = [pod for pod in pods if leaving(pod) and node_of(pod) and _suspect(pod, now)]
    lost = {node: _lost(api, node) for node in {node_of(pod) for pod in suspects}}
    found = {}
    for pod in suspects:
        node, name = node_of(pod), pod["metadata"]["name"]
        if out_of_reach(pod) if lost[node] is None else lost[node]:
            until = f"until {node} is back, deleted, or tainted out-of-service"
            found[name] = Stay(node, "does not answer", until, Reason.NODE_LOST)
        elif _overdue_s(pod, now) > _PULLS_S and _never_began(pod):
            until = f"until {node} has it or has failed"
            found[name] = Stay(node, "still pulls its image", until, Reason.REGISTRY_SILENT)
    return found


def _overdue_s(pod: Object, now: float) -> float:
    until = moment(pod["metadata"].get("deletionTimestamp"))
    return now - until if until is not None else 0.0


def _never_began(pod: Object) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    waits = [(each.get("state") or {}).get("waiting") or {} for each in statuses]
    return bool(waits) and all(each.get("reason") in _NOT_BEGUN for each in waits)


def _suspect(pod: Object, now: float) -> bool:
    return out_of_reach(pod) or _overdue_s(pod, now) > _OVERDUE_S


def _lost(api: Api, name: str) -> bool | None:
    """Whether a node does not answer or has gone; None when that may not be asked."""
    try:
        node = api.get(NODE, name)
    except ApiError as error:
        if error.status == FORBIDDEN:
            return None
        raise
    return node is None or not holds(node, "Ready")
