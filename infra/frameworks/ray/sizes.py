"""How a tier becomes the resources a Ray node declares. Pure."""

from __future__ import annotations

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory

MIB = 2**20
HEAD_STORE_BYTES = 100 * MIB
"""The head runs no tasks; a driver beside it puts its objects there."""
_MIN_STORE_BYTES = 80 * MIB
"""Ray refuses less than 75 MiB."""
_STORE_SHARE = 0.25
_BESIDE_BYTES = 600 * MIB
"""A node's own processes (raylet, agents, launcher) before any task, measured with Ray 2.60."""
_MIN_TASK_BYTES = 200 * MIB


def store_bytes(tier: HardwareTier) -> int:
    """Shared memory for objects."""
    return max(_MIN_STORE_BYTES, int(_STORE_SHARE * tier.resources.memory_bytes))


def task_bytes(tier: HardwareTier) -> int:
    """Memory that tasks may ask for with ``memory=``."""
    return tier.resources.memory_bytes - store_bytes(tier) - _BESIDE_BYTES


def too_small(spec: ClusterSpec) -> list[Problem]:
    """A workers' tier that cannot hold a Ray node."""
    if task_bytes(spec.tier) >= _MIN_TASK_BYTES:
        return []
    has = format_memory(spec.tier.resources.memory_bytes)
    needed = format_memory(int((_BESIDE_BYTES + _MIN_TASK_BYTES) / (1 - _STORE_SHARE)))
    summary = f"tier {spec.tier.name} has {has}; a Ray worker needs {needed}"
    return [Problem(Reason.TIER_EXCEEDS_POOL, summary, "choose a larger --tier; ebb tiers")]
