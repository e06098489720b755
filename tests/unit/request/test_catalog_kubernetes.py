"""Pools of nodes of a Kubernetes, in the file and where an administrator has written them down."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.codec import from_json, to_json
from ebbtide.infra.models.hardware import POOL_LABEL, NodePool
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog, Machine, Shared, catalog_for, load_catalog
from ebbtide.infra.request.ebb_yaml import pools

GI = 2**30
MACHINE = Machine(Resources(4000, 10 * GI))
SHAPE = "platform: kubernetes, nodes: 0..10, node-cpu: 8, node-memory: 32Gi"
THERE = f"""
pools: {{far: {{{SHAPE.removeprefix("platform: kubernetes, ")}}}}}
tiers: {{pod: {{cpu: 1, memory: 2Gi}}, small: {{cpu: 2, memory: 8Gi}}}}
default-tier: pod
run: {{workers: 2..3, lease: 1m}}
"""
Load = Callable[[str], NodePool]


@pytest.fixture
def pool(tmp_path: Path) -> Load:
    def load(keys: str) -> NodePool:
        path = tmp_path / "ebb.yaml"
        path.write_text(f"pools: {{far: {{{keys}}}}}\ntiers: {{pod: {{cpu: 1, memory: 1Gi}}}}")
        return load_catalog(path, MACHINE)[0].pool("far")

    return load


@pytest.fixture
def problem(pool: Load) -> Callable[[str], str]:
    def problem_of(keys: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            pool(keys)
        (found,) = caught.value.problems
        return f"{found.summary} | {found.hint}".partition("ebb.yaml: ")[2]

    return problem_of


def test_a_pool_holds_as_much_as_all_its_nodes(pool: Load) -> None:
    found = pool(SHAPE)
    assert (found.min_nodes, found.max_nodes, found.node) == (0, 10, Resources(8000, 32 * GI))
    assert found.capacity == Resources(80_000, 320 * GI)


def test_a_pool_may_say_that_less_of_its_nodes_is_ours(pool: Load) -> None:
    assert pool(f"{SHAPE}, cpu: 16").capacity == Resources(16_000, 320 * GI)


def test_a_pool_whose_nodes_are_not_known_says_how_much_it_holds(pool: Load) -> None:
    found = pool("platform: kubernetes, cpu: 64, memory: 256Gi")
    assert (found.node, found.max_nodes) == (None, None)
    assert found.capacity == Resources(64_000, 256 * GI)


def test_nodes_are_known_by_the_usual_label_and_the_pools_name(pool: Load) -> None:
    assert pool(SHAPE).selector == {POOL_LABEL: "far"}


def test_how_long_a_node_may_take_is_the_pools_to_say(pool: Load) -> None:
    assert pool(SHAPE).node_within_s == 1200
    assert pool(f"{SHAPE}, node-within: 5m").node_within_s == 300


def test_how_long_an_image_may_take_is_the_pools_to_say(pool: Load) -> None:
    assert pool(SHAPE).pull_within_s == 600
    assert pool(f"{SHAPE}, pull-within: 1h").pull_within_s == 3600


def test_label_and_value_may_be_others(pool: Load) -> None:
    assert pool(f"{SHAPE}, label: eks/pool, value: a-1").selector == {"eks/pool": "a-1"}


@pytest.mark.parametrize(
    ("taint", "toleration"),
    [
        (
            "dedicated=ebb:NoSchedule",
            {"key": "dedicated", "operator": "Equal", "value": "ebb", "effect": "NoSchedule"},
        ),
        ("x.io/gpu:NoExecute", {"key": "x.io/gpu", "operator": "Exists", "effect": "NoExecute"}),
        ("dedicated", {"key": "dedicated", "operator": "Exists"}),
        ("dedicated=", {"key": "dedicated", "operator": "Exists"}),
    ],
)
def test_pods_tolerate_the_taints_of_the_pool(
    pool: Load, taint: str, toleration: dict[str, str]
) -> None:
    assert pool(f"{SHAPE}, taints: ['{taint}']").tolerations == (toleration,)


def test_images_are_those_of_the_release(pool: Load) -> None:
    assert pool(SHAPE).image("dask").startswith("docker.io/ebbtide/ebb-dask:")


def test_one_image_may_serve_all_frameworks(pool: Load) -> None:
    found = pool(f"{SHAPE}, image: 'r.example/ebb-{{framework}}:2', images: {{ray: mine}}")
    assert [found.image(name) for name in ("dask", "ray")] == ["r.example/ebb-dask:2", "mine"]


def test_a_pool_survives_being_written_down(pool: Load) -> None:
    found = pool(f"{SHAPE}, taints: [a=b], images: {{dask: mine}}")
    assert from_json(NodePool, to_json(found)) == found


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("platform: kubernetes, nodes: 0..2, node-cpu: 1", "pools.far.node-memory: it is missing"),
        ("platform: kubernetes, node-cpu: 1, node-memory: 1Gi", "pools.far.nodes: it is missing"),
        (SHAPE.replace("0..10", "4..2"), "pools.far.nodes: '4..2' is not a number of nodes"),
        (SHAPE.replace("0..10", "0"), "pools.far.nodes: '0' is not a number of nodes"),
        (f"{SHAPE}, taints: ['a b']", "pools.far.taints: 'a b' is not a taint"),
        (f"{SHAPE}, taints: ['a:Never']", "pools.far.taints: 'a:Never' is not a taint"),
        (f"{SHAPE}, label: 'a b'", "pools.far.label: 'a b' is not a label"),
        (f"{SHAPE}, value: '-'", "pools.far.value: '-' is not the value of a label"),
        (f"{SHAPE}, image: 'a b'", "pools.far.image: 'a b' is not an image"),
        ("label: x", "pools.far.label: only a pool of platform kubernetes has it"),
    ],
)
def test_what_is_wrong_is_said_with_the_key(
    problem: Callable[[str], str], keys: str, said: str
) -> None:
    assert problem(keys).startswith(said)


# Written down on the platform -----------------------------------------------------------------


def joined(tmp_path: Path, text: str = "", platform: str = "kubernetes") -> Catalog:
    if text:
        (tmp_path / "ebb.yaml").write_text(text)
    there = Shared(text=THERE.encode(), source="ConfigMap ebb-catalog")
    asked = {"platform": platform}
    return catalog_for(
        {"HOME": str(tmp_path)}, tmp_path, asked, lambda name: there if name != "local" else None
    )[0]


def test_without_a_file_the_platforms_own_catalog_counts(tmp_path: Path) -> None:
    found = joined(tmp_path)
    assert found.default_tier == "pod"
    assert [pool.platform for pool in found.pools] == ["kubernetes", "local"]
    assert [tier.name for tier in found.tiers if found.platform_of(tier) == "kubernetes"] == [
        "pod",
        "small",
    ]


def test_its_source_is_named(tmp_path: Path) -> None:
    assert joined(tmp_path).source == "ConfigMap ebb-catalog and this machine"


def test_a_file_with_a_pool_of_the_platform_is_the_whole_catalog(tmp_path: Path) -> None:
    text = f"pools: {{mine: {{{SHAPE}}}}}\ntiers: {{own: {{cpu: 1, memory: 1Gi}}}}"
    assert [tier.name for tier in joined(tmp_path, text).tiers] == ["own"]


def test_nobody_is_asked_for_a_run_on_this_machine(tmp_path: Path) -> None:
    assert [pool.name for pool in joined(tmp_path, platform="local").pools] == ["local"]


def test_the_files_options_win_over_those_written_there(tmp_path: Path) -> None:
    (tmp_path / "ebb.yaml").write_text("run: {workers: 1..8, platform: kubernetes}")
    there = Shared(text=THERE.encode(), source="there")
    _, options = catalog_for({"HOME": str(tmp_path)}, tmp_path, {}, lambda _: there)
    assert (options["workers"], options["lease"]) == ("1..8", "1m")


def test_the_variable_may_name_the_platform(tmp_path: Path) -> None:
    asked: list[str] = []
    environ = {"HOME": str(tmp_path), "EBB_PLATFORM": "kubernetes"}
    catalog_for(environ, tmp_path, {}, asked.append)
    assert asked == ["kubernetes"]


def test_what_is_wrong_there_is_said_with_its_place(tmp_path: Path) -> None:
    wrong = Shared(text=b"pools: [", source="ConfigMap ebb-catalog")
    with pytest.raises(ConfigurationError, match="ConfigMap ebb-catalog: line"):
        catalog_for({"HOME": str(tmp_path)}, tmp_path, {"platform": "kubernetes"}, lambda _: wrong)


def test_where_ebb_is_not_installed_no_image_is_the_usual_one(
    pool: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in our own images, which have its code: a flow in a pod reads the catalog there."""

    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(pools, "version", unknown)
    assert pool(SHAPE).image("dask") == ""
