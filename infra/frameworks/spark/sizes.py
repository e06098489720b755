"""How a tier becomes Spark's memory settings. Pure."""

from __future__ import annotations

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory

MIB = 2**20
MIN_HEAP_BYTES = 471_859_200
"""Driver and executor refuse to start with less (Spark 4.3, UnifiedMemoryManager)."""
_HEAP_SHARE = 0.6
"""A heap is never given back: were it more, memory would stay above its target and nobody leave."""
_BESIDE_HEAP_BYTES = 500 * MIB
"""The worker's own JVM (180 MiB), the executor's memory outside its heap, Python workers."""


def heap_bytes(tier: HardwareTier) -> int:
    """The heap of an executor on a worker's tier, or of the driver on the head's; whole MiB."""
    memory = tier.resources.memory_bytes
    return int(min(_HEAP_SHARE * memory, memory - _BESIDE_HEAP_BYTES)) // MIB * MIB


def too_small(spec: ClusterSpec) -> list[Problem]:
    """Tiers that cannot hold Spark at all."""
    needed = format_memory(MIN_HEAP_BYTES + _BESIDE_HEAP_BYTES + MIB)
    return [
        Problem(
            Reason.TIER_EXCEEDS_POOL,
            f"tier {tier.name} has {format_memory(tier.resources.memory_bytes)}; Spark needs"
            f" {needed} for its {role}",
            f"choose a larger {flag}; ebb tiers lists them",
        )
        for role, flag, tier in (
            ("workers", "--tier", spec.tier),
            ("master and driver", "--head-tier", spec.head_tier),
        )
        if heap_bytes(tier) < MIN_HEAP_BYTES
    ]
