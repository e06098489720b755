"""Tiers with GPUs: how they are written, what is wrong with them, and where they do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.codec import from_json, to_json
from ebbtide.infra.models.hardware import GPU_LABEL, GPU_RESOURCE
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog, Machine, load_catalog

GI = 2**30
MACHINE = Machine(Resources(4000, 10 * GI))
NODES = "platform: kubernetes, nodes: 0..4, node-cpu: 8, node-memory: 32Gi"
POOLS = f"""
pools:
  cpu: {{{NODES}}}
  gpu: {{{NODES}, node-gpus: 2}}
tiers:
"""
TIERS = (
    "t4: {cpu: 4, memory: 16Gi, gpus: 1, gpu-type: Tesla-T4, pool: gpu}",
    "pair: {cpu: 4, memory: 16Gi, gpus: 2, pool: gpu}",
    "small: {cpu: 1, memory: 2Gi, pool: cpu}",
)
Load = Callable[..., Catalog]
Build = Callable[..., RunSpec]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(*tiers: str, pools: str = POOLS) -> Catalog:
        path = tmp_path / "ebb.yaml"
        path.write_text(pools + "".join(f"  {tier}\n" for tier in tiers))
        return load_catalog(path, MACHINE)[0]

    return load_text


@pytest.fixture
def build(load: Load, on_kubernetes: Build) -> Build:
    return lambda *tiers, **cli: on_kubernetes(load(*(tiers or TIERS)), **cli)


def problems(call: Callable[[], object]) -> list[Problem]:
    with pytest.raises(ConfigurationError) as caught:
        call()
    return list(caught.value.problems)


def test_a_tier_says_how_many_and_of_which_type(load: Load) -> None:
    tier = load(*TIERS).tier("t4")
    assert tier is not None
    assert (tier.resources, tier.gpu_type) == (Resources(4000, 16 * GI, 1), "Tesla-T4")
    assert tier.shape == "4 CPU, 16 GiB, 1 GPU (Tesla-T4)"
    assert from_json(type(tier), to_json(tier)) == tier


def test_a_pool_has_the_gpus_of_all_its_nodes_or_says_less(load: Load) -> None:
    pool = load(*TIERS).pool("gpu")
    assert (pool.capacity.gpus, pool.node) == (8, Resources(8000, 32 * GI, 2))
    assert (pool.gpu_resource, pool.gpu_label) == (GPU_RESOURCE, GPU_LABEL)
    less = POOLS.replace("node-gpus: 2", "node-gpus: 2, gpus: 3")
    assert load(*TIERS, pools=less).pool("gpu").capacity.gpus == 3


def test_pods_tolerate_the_usual_taint_of_nodes_with_gpus_and_only_there(load: Load) -> None:
    catalog = load(*TIERS)
    assert catalog.pool("gpu").tolerations == ({"key": GPU_RESOURCE, "operator": "Exists"},)
    assert catalog.pool("cpu").tolerations == ()


def test_resource_and_label_may_be_others(load: Load) -> None:
    keys = "node-gpus: 2, gpu-resource: amd.com/gpu, gpu-label: amd.com/gpu.product-name"
    pool = load(*TIERS, pools=POOLS.replace("node-gpus: 2", keys)).pool("gpu")
    assert (pool.gpu_resource, pool.gpu_label) == ("amd.com/gpu", "amd.com/gpu.product-name")
    assert pool.tolerations[0]["key"] == "amd.com/gpu"


def test_everything_that_is_wrong_is_said_at_once(load: Load) -> None:
    pools = f"""
pools:
  gpu: {{{NODES}, node-gpus: two, gpu-resource: gpu, gpu-label: a b}}
  here: {{platform: local, node-gpus: 1}}
tiers:
"""
    tiers = (
        "a: {cpu: 1, memory: 1Gi, gpus: 0.5, pool: gpu}",
        "b: {cpu: 1, memory: 1Gi, gpus: -1, pool: gpu}",
        "c: {cpu: 1, memory: 1Gi, gpu-type: Tesla-T4, pool: gpu}",
        "d: {cpu: 1, memory: 1Gi, gpus: 1, gpu-type: 'a b', pool: gpu}",
        "e: {cpu: 1, memory: 1Gi, gpus: 1, gpu-type: Tesla-T4, pool: here}",
        "f: {cpu: 1, memory: 1Gi, gpu: 1, pool: gpu}",
    )
    found = problems(lambda: load(*tiers, pools=pools))
    said = [each.summary.partition("ebb.yaml: ")[2] for each in found]
    assert said == [
        "pools.gpu.node-gpus: 'two' is not a number of GPUs",
        "pools.gpu.gpu-label: 'a b' is not a label",
        "pools.gpu.gpu-resource: 'gpu' is not an extended resource",
        "pools.here.node-gpus: only a pool of platform kubernetes has it",
        "tiers.a.gpus: '0.5' is not a number of GPUs",
        "tiers.b.gpus: '-1' is not a number of GPUs",
        "tiers.c.gpu-type: the tier asks for no GPU",
        "tiers.d.gpu-type: 'a b' is not the value of a label",
        "tiers.e.gpu-type: only a tier of platform kubernetes has it: it is a label of nodes",
        "tiers.f: the key gpu is unknown",
    ]
    assert {each.reason for each in found} == {Reason.CATALOG_INVALID}


def test_a_tier_with_a_gpu_does_not_fit_a_pool_without_and_is_told_what_there_is(
    build: Build,
) -> None:
    tiers = ("big: {cpu: 4, memory: 16Gi, gpus: 1, pool: cpu}", TIERS[2])
    (problem,) = problems(lambda: build(*tiers, tier="big"))
    assert problem.reason is Reason.TIER_EXCEEDS_POOL
    assert problem.summary == "tier big asks 1 GPU; a node of pool cpu has no GPU"
    assert problem.hint.startswith("write node-gpus: 1 (and nodes) for pool cpu")


def test_more_gpus_than_a_node_has_do_not_fit_and_the_tier_that_fits_is_named(
    build: Build,
) -> None:
    tiers = (*TIERS, "four: {cpu: 1, memory: 1Gi, gpus: 4, pool: gpu}")
    (problem,) = problems(lambda: build(*tiers, tier="four", **{"head-tier": "t4"}))
    assert problem.summary == "tier four asks 4 GPUs; a node of pool gpu has 2 GPUs"
    assert problem.hint == "--tier pair (4 CPU, 16 GiB, 2 GPUs) is the largest that fits"


def test_more_workers_than_the_pool_has_gpus_do_not_fit(build: Build) -> None:
    tiers = (*TIERS, "plain: {cpu: 100m, memory: 1Gi, pool: gpu}")
    (problem,) = problems(lambda: build(*tiers, tier="pair", workers="5"))
    assert "10 GPUs; pool gpu has 8 GPUs" in problem.summary
    assert problem.hint.endswith("--workers 4 at most")


def test_the_head_has_a_tier_without_a_gpu_where_the_pool_has_one(build: Build) -> None:
    plain = "plain: {cpu: 100m, memory: 1Gi, pool: gpu}"
    assert build(*TIERS, plain, tier="t4").cluster.head_tier.name == "plain"
    assert build(*TIERS, tier="t4").cluster.head_tier.name == "t4"
    named = build(*TIERS, plain, tier="t4", **{"head-tier": "pair"})
    assert named.cluster.head_tier.name == "pair"


def test_a_pool_that_was_written_down_before_there_were_gpus_is_read(load: Load) -> None:
    pool = load(*TIERS).pool("cpu")
    text = to_json(pool).replace(',"gpus":0', "")
    assert '"gpus"' not in text
    assert from_json(type(pool), text) == pool
    assert replace(pool, capacity=Resources(1, 1)).capacity.gpus == 0
