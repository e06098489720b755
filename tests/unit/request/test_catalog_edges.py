"""The catalog where something is left out, is the least or the most, or hides behind other keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.keep import Keep
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog, Machine, load_catalog

GI = 2**30
MACHINE = Machine(Resources(4000, 10 * GI))


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load_text(text: str, machine: Machine = MACHINE) -> Catalog:
        path = tmp_path / "ebb.yaml"
        path.write_text(text)
        return load_catalog(path, machine)[0]

    return load_text


@pytest.fixture
def problems(load: Any, tmp_path: Path) -> Any:
    def problems_of(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load(text)
        return [p.summary.removeprefix(f"{tmp_path}/ebb.yaml: ") for p in caught.value.problems]

    return problems_of


# What is left out -----------------------------------------------------------------------------


def test_tier_that_says_no_more_than_it_must_is_free_and_for_all(load: Any) -> None:
    tier = load("tiers: {a: {cpu: 1, memory: 1Gi}}").tier("a")
    assert tier == HardwareTier(name="a", pool="local", resources=Resources(1000, GI))


@pytest.mark.parametrize("key", ["cpu", "memory"])
def test_key_without_a_value_is_as_left_out(load: Any, key: str) -> None:
    (pool,) = load(f"pools: {{mine: {{{key}: }}}}").pools
    assert pool.capacity == Resources(4000, 8 * GI)


def test_default_tier_without_a_value_is_as_left_out(load: Any) -> None:
    assert load("default-tier:").default_tier == "small"


def test_nothing_is_thrown_away_unless_the_file_says_so(load: Any) -> None:
    assert not load("pools: {local: }").keep


def test_tier_is_on_the_platform_of_its_pool(load: Any) -> None:
    text = """
    pools: {here: {}, far: {platform: kubernetes, cpu: 8, memory: 32Gi}}
    tiers: {near: {cpu: 1, memory: 1Gi, pool: here}, pod: {cpu: 1, memory: 1Gi, pool: far}}
    """
    catalog = load(text)
    assert [catalog.platform_of(tier) for tier in catalog.tiers] == ["local", "kubernetes"]


# How many may wait ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mebibytes", "runs"),
    [(100, 10), (3519, 10), (3520, 11), (3839, 11), (3840, 12), (320_000, 1000)],
)
def test_run_may_wait_for_each_256_mebibytes_of_the_share_and_at_least_ten(
    load: Any, mebibytes: int, runs: int
) -> None:
    """The share is four fifths of the machine: 11 of them are 3520 MiB."""
    (pool,) = load("", Machine(Resources(4000, mebibytes * 2**20))).pools
    assert pool.runs_waiting == runs


def test_pool_elsewhere_lets_any_number_wait(load: Any) -> None:
    text = """
    pools: {far: {platform: kubernetes, cpu: 8, memory: 32Gi}}
    tiers: {pod: {cpu: 1, memory: 1Gi}}
    """
    assert load(text).pool("far").runs_waiting is None


@pytest.mark.parametrize("count", [1, 2, 100])
def test_counts_are_taken_from_one_up(load: Any, count: int) -> None:
    text = f"""
    pools: {{mine: {{runs-per-owner: {count}, runs-waiting: {count}}}}}
    tiers: {{a: {{cpu: 1, memory: 1Gi, runs-at-once: {count}}}}}
    """
    catalog = load(text)
    (pool,), (tier,) = catalog.pools, catalog.tiers
    assert (pool.runs_per_owner, pool.runs_waiting, tier.runs_at_once) == (count, count, count)


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "''", "²"])
def test_count_below_one_is_refused(problems: Any, count: str) -> None:
    (said,) = problems(f"tiers: {{a: {{cpu: 1, memory: 1Gi, runs-at-once: {count}}}}}")
    assert said.startswith("tiers.a.runs-at-once: ")
    assert "is not a number of runs" in said


# Prices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "price"), [("0", 0.0), ("0.25", 0.25), ("1000", 1000.0)])
def test_price_is_zero_or_more(load: Any, text: str, price: float) -> None:
    tier = load(f"tiers: {{a: {{cpu: 1, memory: 1Gi, price-per-hour: {text}}}}}").tier("a")
    assert tier.price_per_hour == price


@pytest.mark.parametrize("text", ["-0.01", "inf", "nan", "free"])
def test_price_that_nothing_can_be_multiplied_with_is_refused(problems: Any, text: str) -> None:
    (said,) = problems(f"tiers: {{a: {{cpu: 1, memory: 1Gi, price-per-hour: {text}}}}}")
    assert said == f"tiers.a.price-per-hour: {text!r} is not a price"


# Lists of names -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["[dask, ray]", "'dask,ray'", "' dask , ray, '"])
def test_names_are_a_list_or_words_with_commas(load: Any, text: str) -> None:
    tier = load(f"tiers: {{a: {{cpu: 1, memory: 1Gi, frameworks: {text}}}}}").tier("a")
    assert tier.frameworks == ("dask", "ray")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("tiers: {a: {cpu: 1, memory: 1Gi, frameworks: {dask: 1}}}", "tiers.a.frameworks"),
        ("keep: {runs: 3}", "keep"),
    ],
)
def test_names_are_no_pairs(problems: Any, text: str, where: str) -> None:
    assert problems(text) == [f"{where}: it must be a list"]


def test_what_to_keep_is_shown_as_one_writes_it(load: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("keep: {runs: 3}")
    assert [problem.hint for problem in caught.value.problems] == ["write it like [30d, 1000 runs]"]


def test_keep_is_read(load: Any) -> None:
    assert load("keep: [30d, 1000 runs, 20Gi]").keep == Keep(30 * 86_400.0, 1000, 20 * GI)


def test_keep_that_is_no_limit_is_refused(problems: Any) -> None:
    assert problems("keep: [for ever]") == ["keep: 'for ever' is not what to keep"]


# Platforms ------------------------------------------------------------------------------------


def test_platform_that_is_like_none_is_answered_with_all(load: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load("pools: {a: {platform: xyz, cpu: 1, memory: 1Gi}}")
    assert caught.value.problems[0].hint == "platforms: local, kubernetes"


# Derived tiers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cores", "millis"),
    [(8, [1000, 2000, 4000]), (16, [1000, 2000, 8000]), (17, [1000, 2000, 8000])],
    ids=["small and medium at their most", "large at its most", "above it"],
)
def test_derived_tiers_stop_growing_with_the_machine(
    load: Any, cores: int, millis: list[int]
) -> None:
    tiers = load("", Machine(Resources(cores * 1000, 64 * GI))).tiers
    assert [tier.resources.cpu_millis for tier in tiers] == millis


def test_derived_memory_is_in_steps_of_64_mebibytes(load: Any) -> None:
    tiers = load("", Machine(Resources(4000, 9_999_999_999))).tiers
    assert [tier.resources.memory_bytes % (64 * 2**20) for tier in tiers] == [0, 0, 0]


# Broken files ---------------------------------------------------------------------------------


def test_key_written_twice_is_found_behind_simple_values(problems: Any) -> None:
    text = "tiers:\n  a:\n    cpu: 1\n    memory: 1Gi\n    cpu: 2\ndefault-tier: a\n"
    assert problems(text) == ["line 5: tiers.a.cpu is written twice"]


def test_character_that_yaml_forbids_is_named(problems: Any) -> None:
    (said,) = problems("a: \x07")
    assert said.startswith("it is not YAML: unacceptable character #x0007")
    assert "\n" not in said
