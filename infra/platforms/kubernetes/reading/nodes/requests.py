"""What a pod asks of its node, as the scheduler counts it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.spelling import quantity

_DAEMONS = ("DaemonSet", "Node")
"""Owners of pods of which every node has one: the second are those that a kubelet reads itself."""


def requested(pod: Object, gpu_resource: str) -> Resources:
    """Add up what a pod asks for.

    What its containers ask for together, or one that runs before them where that is more; those
    that run before them and go on (``restartPolicy: Always``) count with both. Its runtime's own
    overhead comes on top.

    Args:
        pod: as the API server has it.
        gpu_resource: the extended resource that is counted as GPUs.

    Returns:
        Nothing where no container asks for anything.
    """
    spec = pod["spec"]
    beside, before = NOTHING, NOTHING
    for container in spec.get("initContainers") or ():
        asked = _asked(container, gpu_resource)
        if container.get("restartPolicy") == "Always":
            beside += asked
            before = _larger(before, beside)
        else:
            before = _larger(before, beside + asked)
    together = sum((_asked(each, gpu_resource) for each in spec["containers"]), start=beside)
    return _larger(before, together) + amounts(spec.get("overhead") or {}, gpu_resource)


def is_daemon(pod: Object) -> bool:
    """Whether every node has such a pod, or it belongs to the node itself."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner.get("kind") in _DAEMONS for owner in owners)


def amounts(given: Mapping[str, Any], gpu_resource: str) -> Resources:
    """Read amounts of resources by their names; nothing of what is not named."""
    names = ("cpu", "memory", gpu_resource)
    cores, memory_bytes, gpus = (quantity(str(given.get(name, "0"))) for name in names)
    return Resources(round(cores * 1000), round(memory_bytes), round(gpus))


def _asked(container: Object, gpu_resource: str) -> Resources:
    return amounts((container.get("resources") or {}).get("requests") or {}, gpu_resource)


def _larger(one: Resources, other: Resources) -> Resources:
    return Resources(
        max(one.cpu_millis, other.cpu_millis),
        max(one.memory_bytes, other.memory_bytes),
        max(one.gpus, other.gpus),
    )
