"""Spot tiers: how they are written, what is wrong with them, and which head they have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.hardware import SPOT_NOTICE_S, HardwareTier, Taint
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog, Machine, load_catalog

MACHINE = Machine(Resources(4000, 10 * 2**30))
NODES = "platform: kubernetes, nodes: 0..4, node-cpu: 8, node-memory: 32Gi"
MIXED = f"cpu: {{{NODES}, spot-label: karpenter.sh/capacity-type=spot}}"
CHEAP = "cheap: {cpu: 1, memory: 2Gi, spot: true}"
FIRM = "firm: {cpu: 1, memory: 2Gi}"
Load = Callable[..., Catalog]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(pool: str, *tiers: str) -> Catalog:
        path = tmp_path / "ebb.yaml"
        listed = "".join(f"  {tier}\n" for tier in tiers)
        path.write_text(f"pools:\n  {pool}\ntiers:\n{listed}")
        return load_catalog(path, MACHINE)[0]

    return load_text


def the(catalog: Catalog, name: str) -> HardwareTier:
    found = catalog.tier(name)
    assert found is not None
    return found


def test_tier_is_spot_where_it_says_so(load: Load) -> None:
    catalog = load(MIXED, CHEAP, FIRM)
    cheap = the(catalog, "cheap")
    assert (cheap.spot, cheap.notice_s, cheap.shape) == (True, SPOT_NOTICE_S, "1 CPU, 2 GiB, spot")
    assert not the(catalog, "firm").spot
    assert catalog.pools[0].spot_label == {"karpenter.sh/capacity-type": "spot"}


def test_all_tiers_of_a_spot_pool_are(load: Load) -> None:
    catalog = load(f"cpu: {{{NODES}, spot: true}}", FIRM)
    assert the(catalog, "firm").spot


@pytest.mark.parametrize(
    ("notice", "budget", "drain_s"),
    [("120s", "10m", 85), ("120s", "30s", 30), ("30s", "10m", 15), ("10m", "5m", 300)],
)
def test_drain_is_within_the_notice(load: Load, notice: str, budget: str, drain_s: float) -> None:
    tier = f"cheap: {{cpu: 1, memory: 2Gi, drain-budget: {budget}}}"
    pool = f"cpu: {{{NODES}, spot: true, spot-notice: {notice}}}"
    assert the(load(pool, tier), "cheap").drain_budget_s == drain_s


def test_taints_of_spot_nodes_are_read_as_others(load: Load) -> None:
    taint = "kubernetes.azure.com/scalesetpriority=spot:NoSchedule"
    (pool,) = load(f"cpu: {{{NODES}, spot: true, spot-taints: ['{taint}']}}", FIRM).pools
    key, _, _ = taint.partition("=")
    assert pool.spot_taints == (Taint(key=key, value="spot", effect="NoSchedule"),)


@pytest.mark.parametrize(
    ("pool", "tier", "where", "hint"),
    [
        (f"cpu: {{{NODES}}}", CHEAP, "tiers.cheap.spot", "write spot-label: "),
        (f"cpu: {{{NODES}, spot: true}}", "firm: {cpu: 1, memory: 2Gi, spot: false}",
         "tiers.firm.spot", "leave it out"),
        (f"cpu: {{{NODES}, spot-label: spot}}", FIRM, "pools.cpu.spot-label", "write it like"),
        (f"cpu: {{{NODES}, spot: perhaps}}", FIRM, "pools.cpu.spot", "write one of them"),
        (f"cpu: {{{NODES}, spot-notice: 5s}}", FIRM, "pools.cpu.spot-notice", "the minimum is 15s"),
        ("here: {platform: local, spot: true}", FIRM, "pools.here.spot", "leave it out"),
        ("here: {platform: local}", CHEAP, "tiers.cheap.spot", "leave it out"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(load: Load, pool: str, tier: str, where: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(pool, tier)
    (problem,) = caught.value.problems
    assert where in problem.summary
    assert hint in f"{problem.summary}; {problem.hint}"


@pytest.fixture
def build(load: Load, on_kubernetes: Callable[..., RunSpec]) -> Callable[..., RunSpec]:
    return lambda *tiers, **cli: on_kubernetes(load(MIXED, *tiers), **cli)


def test_head_is_on_nodes_that_stay_where_the_pool_has_a_tier_of_them(
    build: Callable[..., RunSpec],
) -> None:
    assert build(CHEAP, FIRM, tier="cheap").cluster.head_tier.name == "firm"
    assert build(CHEAP, tier="cheap").cluster.head_tier.name == "cheap"
    assert build(CHEAP, FIRM, tier="cheap", head_tier="cheap").cluster.head_tier.name == "cheap"
    spec = build(CHEAP, FIRM, tier="cheap,firm")
    assert [each.head_tier.name for each in (spec.cluster, *spec.next_tiers)] == ["firm", "firm"]
