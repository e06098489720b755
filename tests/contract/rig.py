"""Where the runs of a contract's tests run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ebbtide.infra.frameworks.base import WITHOUT_CLUSTER, known_frameworks, load_framework
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.base import Platform, load_platform
from ebbtide.infra.settings import Settings
from tests.clusters import Outcome, carried_out_at, run_spec

FRAMEWORKS = [name for name in known_frameworks() if name != WITHOUT_CLUSTER]
ON_PODS = [name for name in FRAMEWORKS if load_framework(name).on_pods]
RUN_ON = {"local": FRAMEWORKS, "kubernetes": ON_PODS}
"""Which frameworks run on which platform; what they say of themselves."""
_CPU_MILLIS = 250
"""Asked for by each pod: five of them have room on a node of two cores."""


@dataclass(frozen=True, slots=True)
class Rig:
    """One platform."""

    settings: Settings
    name: str = "local"
    pool: NodePool | None = None
    """None: that of the spec."""
    image: Callable[[str], str] | None = None
    """Gives the name of a framework's image, where the pool has none of it yet."""

    @property
    def platform(self) -> Platform:
        return load_platform(self.name, self.settings)

    def run(self, name: str, cluster: ClusterSpec, program: Path | None, **more: Any) -> RunSpec:
        """As ``run_spec``, here."""
        if self.pool is not None:
            tier, head_tier = map(_of_few_cores, (cluster.tier, cluster.head_tier))
            pool = self._pool_for(cluster.framework)
            cluster = replace(cluster, pool=pool, tier=tier, head_tier=head_tier)
        return replace(run_spec(name, cluster, program, **more), platform=self.name)

    def _pool_for(self, framework: str) -> NodePool:
        assert self.pool is not None
        if self.image is None or framework in self.pool.images:
            return self.pool
        return replace(self.pool, images={**self.pool.images, framework: self.image(framework)})

    def carried_out(self, spec: RunSpec) -> Outcome:
        """As ``tests.clusters.carried_out``."""
        return carried_out_at(self.settings, spec)


def _of_few_cores(tier: HardwareTier) -> HardwareTier:
    cpu_millis = min(tier.resources.cpu_millis, _CPU_MILLIS)
    return replace(tier, resources=replace(tier.resources, cpu_millis=cpu_millis))
