"""A framework that does not run on pods, or not in these, is refused before anything is made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes import problems
from ebbtide.infra.platforms.kubernetes.problems import problems_of
from ebbtide.infra.settings import Settings
from tests.clusters import MIB, POOL, cluster_spec, run_spec
from tests.contract.rig import FRAMEWORKS, ON_PODS, RUN_ON

TINY = HardwareTier(name="tiny", pool=POOL.name, resources=Resources(100, 128 * MIB))


@pytest.fixture(autouse=True)
def _reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "_server_problems", lambda _: [])


def refused(framework: str, folder: Path, *, image: str = "registry/image:1") -> list[Problem]:
    (folder / "train.py").touch()
    pool = replace(POOL, platform="kubernetes", images={framework: image} if image else {})
    cluster = cluster_spec(framework, pool=pool, tier=TINY, head_tier=TINY)
    spec: RunSpec = run_spec("heron", cluster, folder / "train.py")
    return problems_of(Settings(home=folder / "home"), replace(spec, platform="kubernetes"))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_one_that_says_of_itself_that_it_does_not_run_on_pods_is_refused_in_words(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(load_framework(framework)), "on_pods", False)
    (problem,) = refused(framework, tmp_path)
    assert problem.summary == f"{framework} does not run on Kubernetes yet"
    others = [each for each in ON_PODS if each != framework]
    assert problem.hint.endswith("--platform local")
    assert all(each in problem.hint for each in others)


@pytest.mark.parametrize("framework", ["ray", "spark"])
def test_tiers_that_are_too_small_are_refused_as_on_this_machine(
    framework: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(load_framework(framework)), "on_pods", True)
    found = refused(framework, tmp_path)
    assert {each.reason for each in found} == {Reason.TIER_EXCEEDS_POOL}
    assert found[0].summary.startswith("tier tiny has 128 MiB; ")
    without = refused(framework, tmp_path, image="")
    assert without[0].summary.endswith(f"has no image for {framework}")
    assert without[1:] == found


def test_what_fits_and_has_an_image_is_not_refused(tmp_path: Path) -> None:
    assert refused("dask", tmp_path) == []


def test_the_contract_runs_on_pods_for_those_that_say_so() -> None:
    assert RUN_ON["kubernetes"] == ON_PODS
