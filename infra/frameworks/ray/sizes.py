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
MIN_TASK_BYTES = 200 * MIB
_BESIDE_STORE_BYTES = 32 * MIB
"""Ray wants no less shared memory than its store has, and a little is used beside it."""


def store_bytes(tier: HardwareTier) -> int:
    """Shared memory for objects."""
    return max(_MIN_STORE_BYTES, int(_STORE_SHARE * tier.resources.memory_bytes))


def shared_bytes(store: int) -> int:
    """How large /dev/shm must be for a store of this size."""
    return store + _BESIDE_STORE_BYTES


def task_bytes(tier: HardwareTier) -> int:
    """Memory that tasks may ask for with ``memory=``."""
    return tier.resources.memory_bytes - store_bytes(tier) - _BESIDE_BYTES


def too_small(spec: ClusterSpec) -> list[Problem]:
    """Tiers that cannot hold a Ray node.

    Of the head's only where its memory is a limit of its own: a program's pod has a node too.
    """
    needed = format_memory(int((_BESIDE_BYTES + MIN_TASK_BYTES) / (1 - _STORE_SHARE)))
    roles = [("a Ray worker", "--tier", spec.tier)]
    if spec.pool.driver_apart:
        roles.append(("Ray's head, or the node beside a program,", "--head-tier", spec.head_tier))
    return [
        Problem(
            Reason.TIER_EXCEEDS_POOL,
            f"tier {tier.name} has {format_memory(tier.resources.memory_bytes)}; {role} needs"
            f" {needed}",
            f"choose a larger {flag}; ebb tiers",
        )
        for role, flag, tier in roles
        if task_bytes(tier) < MIN_TASK_BYTES
    ]
