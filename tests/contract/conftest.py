"""What differs between the frameworks in the contract: how small a machine they run on."""

from __future__ import annotations

from dataclasses import replace

from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.resources import Resources
from tests.clusters import MIB, POOL, QUICK, TIER, cluster_spec

SMALLEST: dict[str, HardwareTier] = {
    "dask": TIER,
    "ray": replace(TIER, resources=Resources(500, 1536 * MIB)),
    "spark": replace(TIER, resources=Resources(500, 1536 * MIB)),
}


def small(framework: str, workers: int = 3) -> ClusterSpec:
    """The smallest cluster of a framework, up to so many workers."""
    tier = SMALLEST[framework]
    policy = replace(QUICK, target_cpu_percent=80, max_workers=workers)
    pool = replace(POOL, capacity=Resources(16000, 16384 * MIB))
    return cluster_spec(framework, tier=tier, head_tier=tier, policy=policy, pool=pool)
