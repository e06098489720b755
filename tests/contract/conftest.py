"""Where the contracts' runs run here, and how small a machine each framework runs on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.settings import Settings
from tests.clusters import MIB, POOL, QUICK, TIER, cluster_spec
from tests.contract.rig import RUN_ON, Rig

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


@pytest.fixture(scope="module", params=RUN_ON["local"])
def each_framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(ebb_home: Path) -> Rig:
    return Rig(Settings(home=ebb_home))


@pytest.fixture(scope="module")
def rig_of_module(home_of_module: Path) -> Rig:
    return Rig(Settings(home=home_of_module))
