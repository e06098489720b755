"""Pools and tiers, from a file or from the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.resources import Resources, parse_cpu, parse_memory
from ebbtide.infra.request.catalog import Catalog, Machine, find_file, load_catalog
from ebbtide.infra.request.ebb_yaml.tiers import derive_tiers

GI = 2**30
MACHINE = Machine(Resources(4000, 10 * GI))
FULL = """
pools:
  here: {platform: local, cpu: 8, memory: 32Gi}
  far: {platform: kubernetes, cpu: 64, memory: 256Gi}
tiers:
  little: {cpu: 500m, memory: 1Gi, pool: here}
  big:
    cpu: 4
    memory: 16Gi
    pool: far
    price-per-hour: 0.2
    frameworks: [dask, ray]
    drain_budget: 2m
default-tier: little
default-head-tier: big
run: {workers: 1..2, env: {DEBUG: no, VERSION: 1.10}, scale_down_window: 10s}
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load_text(text: str | bytes) -> tuple[Catalog, dict[str, Any]]:
        path = tmp_path / "ebb.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_catalog(path, MACHINE)

    return load_text


@pytest.fixture
def problems(load: Any, tmp_path: Path) -> Any:
    def problems_of(text: str | bytes) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load(text)
        return [
            f"{problem.summary} | {problem.hint}".removeprefix(f"{tmp_path}/")
            for problem in caught.value.problems
        ]

    return problems_of


def test_without_a_file_the_pool_is_this_machine() -> None:
    catalog, options = load_catalog(None, MACHINE)
    assert catalog.pools == (
        NodePool(name="local", platform="local", capacity=Resources(4000, 8 * GI), runs_waiting=32),
    )
    assert (catalog.default_tier, catalog.default_head_tier) == ("small", "small")
    assert (catalog.source, options) == ("this machine", {})


@pytest.mark.parametrize(
    ("cpu", "memory", "expected"),
    [
        ("4", "8Gi", ["500m 1Gi", "1 2Gi", "2 4Gi"]),
        ("2", "3Gi", ["250m 384Mi", "500m 768Mi", "1 1536Mi"]),
        ("64", "256Gi", ["1 4Gi", "2 8Gi", "8 32Gi"]),
        ("1", "1Gi", ["100m 256Mi", "250m 256Mi", "500m 512Mi"]),
        ("100m", "100Mi", ["50m 100Mi", "50m 100Mi", "50m 100Mi"]),
        ("30m", "1Gi", ["30m 1Gi", "30m 1Gi", "30m 1Gi"]),
    ],
    ids=["laptop", "two cores", "server", "one core", "tiny", "less than the least"],
)
def test_derived_tiers(cpu: str, memory: str, expected: list[str]) -> None:
    capacity = Resources(parse_cpu(cpu), parse_memory(memory))
    tiers = derive_tiers(NodePool(name="p", platform="local", capacity=capacity))
    amounts = [text.split() for text in expected]
    assert [tier.name for tier in tiers] == ["small", "medium", "large"]
    assert [t.resources for t in tiers] == [
        Resources(parse_cpu(c), parse_memory(m)) for c, m in amounts
    ]


def test_a_full_file(load: Any, tmp_path: Path) -> None:
    catalog, options = load(FULL)
    assert [pool.platform for pool in catalog.pools] == ["local", "kubernetes"]
    assert (catalog.default_tier, catalog.default_head_tier) == ("little", "big")
    assert catalog.source == str(tmp_path / "ebb.yaml")
    assert options["workers"] == "1..2"


def test_a_full_tier(load: Any) -> None:
    big = load(FULL)[0].tier("big")
    assert big.resources == Resources(4000, 16 * GI)
    assert (big.pool, big.price_per_hour, big.drain_budget_s) == ("far", 0.2, 120.0)
    assert big.frameworks == ("dask", "ray")


def test_scalars_stay_as_they_were_typed(load: Any) -> None:
    _, options = load(FULL)
    assert options["env"] == {"DEBUG": "no", "VERSION": "1.10"}


@pytest.mark.parametrize("text", ["", "# nothing\n", "pools:\n", "pools: {local: }", "run: {}"])
def test_what_is_left_out_is_as_without_a_file(load: Any, text: str) -> None:
    catalog, _ = load(text)
    without, _ = load_catalog(None, MACHINE)
    assert (catalog.pools, catalog.tiers) == (without.pools, without.tiers)


def test_a_local_pool_takes_from_the_machine_what_it_does_not_say(load: Any) -> None:
    catalog, _ = load("pools: {mine: {cpu: 2}}")
    assert catalog.pool("mine").capacity == Resources(2000, 8 * GI)
    assert catalog.tier("small").pool == "mine"


@pytest.mark.parametrize(
    ("text", "defaults"),
    [
        ("tiers: {a: {cpu: 1, memory: 1Gi}, b: {cpu: 2, memory: 2Gi}}", ("a", "a")),
        ("tiers: {a: {cpu: 1, memory: 1Gi}, small: {cpu: 2, memory: 2Gi}}", ("small", "small")),
        ("default-tier: large", ("large", "small")),
        (
            "{default-tier: b, tiers: {a: {cpu: 1, memory: 1Gi}, b: {cpu: 2, memory: 2Gi}}}",
            ("b", "b"),
        ),
    ],
    ids=["first", "small", "derived", "head follows"],
)
def test_default_tiers(load: Any, text: str, defaults: tuple[str, str]) -> None:
    catalog, _ = load(text)
    assert (catalog.default_tier, catalog.default_head_tier) == defaults


def test_merge_keys_work(load: Any) -> None:
    text = "tiers: {a: &a {cpu: 1, memory: 1Gi}, b: {<<: *a, cpu: 2}}"
    assert load(text)[0].tier("b").resources == Resources(2000, GI)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tires: {}", "ebb.yaml: the key tires is unknown | did you mean tiers?"),
        ("pools: {a: {cpus: 1}}", "ebb.yaml: pools.a: the key cpus is unknown | did you mean cpu?"),
        ("pools: {a: {cpu: lots}}", "ebb.yaml: pools.a.cpu: 'lots' is not an amount of CPU | "
         "write cores like 2, 0.5 or 500m"),
        ("pools: {a: {platform: kube}}", "ebb.yaml: pools.a.platform: no platform is named kube | "
         "did you mean kubernetes?"),
        ("tiers: {a: {cpu: 1, memory: 8GB}}", "ebb.yaml: tiers.a.memory: '8GB' is not an amount of "
         "memory | write 8Gi (powers of 1024) or 8G (powers of 1000)"),
        ("tiers: {a: {memory: 8Gi}}",
         "ebb.yaml: tiers.a.cpu: it is missing | write it like cpu: 1"),
        ("tiers: {a: {cpu: 1, memory: 8Gi, pool: loca}}",
         "ebb.yaml: tiers.a.pool: no pool is named loca | did you mean local?"),
        ("{pools: {p: , q: }, tiers: {a: {cpu: 1, memory: 8Gi}}}",
         "ebb.yaml: tiers.a.pool: it is missing, and there are several pools | pools: p, q"),
        ("tiers: {a: {cpu: 1, memory: 1Gi, runs-at-once: many}}", "ebb.yaml: tiers.a.runs-at-once: "
         "'many' is not a number of runs | write 1 or more, or leave it out"),
        ("tiers: {a: {cpu: 1, memory: 1Gi, price-per-hour: cheap}}", "ebb.yaml: "
         "tiers.a.price-per-hour: 'cheap' is not a price | write a number like 0.25"),
        ("tiers: {a: {cpu: 1, memory: 1Gi, drain-budget: 10}}", "ebb.yaml: tiers.a.drain-budget: "
         "'10' is not a duration | write it like 90s, 10m or 1h30m"),
        ("tiers: {a: {cpu: [1], memory: 1Gi}}",
         "ebb.yaml: tiers.a.cpu: it holds several values | write a single one"),
        ("default-tier: smal",
         "ebb.yaml: default-tier: no tier is named smal | did you mean small?"),
        ("tiers:\n  a: {cpu: 1, memory: 1Gi}\n  a: {cpu: 2, memory: 2Gi}\n",
         "ebb.yaml: line 3: tiers.a is written twice | see also line 2"),
        ("run: {wokers: 2}", "ebb.yaml key wokers is unknown | did you mean workers?"),
        ("run: {workers: 4..1}",
         "ebb.yaml key workers: '4..1' has its minimum above its maximum | write 1..4"),
        ("tiers: [a, b]", "ebb.yaml: tiers: it must be a list of NAME: value pairs | "
         "write it like NAME: value"),
        ("pools: {'': {}}", "ebb.yaml: pools: a name is empty | write it like NAME: value"),
        ("run: {env: {A: }}", "ebb.yaml key env: a part of it has no value | "
         "write one, or two quotes for an empty one"),
        ("- a", "ebb.yaml: it must be a list of NAME: value pairs | write it like NAME: value"),
        (b"# caf\xe9", "ebb.yaml: it is not UTF-8 (byte 5) | save it as UTF-8"),
        ("pools: {a: {platform: kubernetes, cpu: 1, memory: 1Gi}}",
         "ebb.yaml: tiers: no tier is defined"
         " | tiers are made automatically only for a pool of platform local"),
    ],
)  # fmt: skip
def test_a_bad_file_is_one_clear_problem(problems: Any, text: str, expected: str) -> None:
    assert problems(text) == [expected]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("pools: {", "line "),
        ("a: 1\n b: 2\n", "line 2, column 3"),
        ("a: \x00\n", "it is not YAML"),
        ("a: !!python/object:os.system {}\n", "line 1, column 4"),
        ("--- {}\n--- {}\n", "line 2"),
    ],
    ids=["open brace", "indentation", "control character", "tag", "two documents"],
)
def test_broken_yaml_is_a_problem_with_its_line(problems: Any, text: str, place: str) -> None:
    assert place in problems(text)[0]


def test_all_problems_of_a_file_are_reported_at_once(problems: Any) -> None:
    text = "{tires: {}, tiers: {a: {cpu: x, memory: y, pool: z, speed: 1}}, run: {lease: 1s, x: 1}}"
    assert len(problems(text)) == 7


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None], ids=["folder", "missing"])
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "c.yaml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_catalog(tmp_path / "c.yaml", MACHINE)


@pytest.mark.parametrize(
    ("files", "environ", "found"),
    [
        (["work/ebb.yaml", "cfg/ebb/ebb.yaml"], {"XDG_CONFIG_HOME": "cfg"}, "work/ebb.yaml"),
        (["cfg/ebb/ebb.yaml"], {"XDG_CONFIG_HOME": "cfg"}, "cfg/ebb/ebb.yaml"),
        (["home/.config/ebb/ebb.yaml"], {"HOME": "home"}, "home/.config/ebb/ebb.yaml"),
        (["work/ebb.yaml"], {"EBB_CONFIG": "other.yaml"}, "other.yaml"),
        ([], {"HOME": "home"}, None),
    ],
    ids=["this folder", "xdg", "home", "named", "none"],
)
def test_find_file(
    tmp_path: Path, files: list[str], environ: dict[str, str], found: str | None
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    places = {key: str(tmp_path / value) for key, value in environ.items()}
    assert find_file(tmp_path / "work", {"HOME": str(tmp_path), **places}) == (
        tmp_path / found if found else None
    )


@pytest.mark.parametrize("text", ["run: &x {env: {A: *x}}", "tiers: &x {a: *x}", "pools: &x [*x]"])
def test_a_file_that_contains_itself_is_a_problem(problems: Any, text: str) -> None:
    assert problems(text)


def test_dasks_operator_makes_the_pods_of_a_kubernetes_whose_catalog_says_so(load: Any) -> None:
    catalog, _ = load(FULL + "dask: {mode: operator}\n")
    assert [(pool.name, pool.dask_operator) for pool in catalog.pools] == [
        ("here", False),
        ("far", True),
    ]
    assert not any(pool.dask_operator for pool in load(FULL + "dask: {mode: pods}\n")[0].pools)


def test_mode_that_is_none_is_named(problems: Any) -> None:
    assert problems(FULL + "dask: {mode: maybe}\n") == [
        "ebb.yaml: dask.mode: 'maybe' is no mode | write pods or operator"
    ]
