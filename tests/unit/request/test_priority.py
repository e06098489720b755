"""The PriorityClass of a tier, and of a run in its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Machine, load_catalog

TEXT = """
pools:
  cpu: {platform: kubernetes, nodes: 0..4, node-cpu: 8, node-memory: 32Gi}
  here: {platform: local, cpu: 4, memory: 8Gi}
tiers:
  nightly: {cpu: 1, memory: 2Gi, priority: batch, pool: cpu}
  plain: {cpu: 1, memory: 2Gi, pool: cpu}
  mine: {cpu: 1, memory: 2Gi, pool: here%s}
"""
Build = Callable[..., RunSpec]


@pytest.fixture
def build(tmp_path: Path, on_kubernetes: Build) -> Build:
    def build_spec(more: str = "", **cli: Any) -> RunSpec:
        path = tmp_path / "ebb.yaml"
        path.write_text(TEXT % more)
        return on_kubernetes(load_catalog(path, Machine(Resources(4000, 2**34)))[0], **cli)

    return build_spec


def test_a_tier_has_its_own_and_others_have_none(build: Build) -> None:
    found = build(tier="nightly", head_tier="plain").cluster
    assert (found.tier.priority, found.head_tier.priority) == ("batch", "")


def test_that_of_the_run_counts_for_all_of_its_pods(build: Build) -> None:
    found = build(tier="nightly", head_tier="plain", priority="urgent").cluster
    assert (found.tier.priority, found.head_tier.priority) == ("urgent", "urgent")
    assert (found.tier.name, found.head_tier.name) == ("nightly", "plain")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"platform": "local", "priority": "urgent"}, "platform local has no PriorityClass"),
        ({"priority": "Very Urgent"}, "option --priority: 'Very Urgent' is no name"),
        (
            {"more": ", priority: batch"},
            "tiers.mine.priority: only a tier of platform kubernetes has it: it is a PriorityClass",
        ),
    ],
)
def test_where_there_is_none_it_is_refused(build: Build, given: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(**given)
    (problem,) = caught.value.problems
    assert says in problem.summary
    assert problem.reason in (Reason.OPTION_INVALID, Reason.CATALOG_INVALID)
