"""Tiers in the form of Prefect's page, as an option of the run."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.flows.form import Cluster, request_of
from ebbtide.infra.errors import ConfigurationError


def options_of(cluster: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a run of a form with this cluster is asked for."""
    return dict(request_of("train.py", "", cluster, {}, more, None).options)


def test_tier_and_those_after_it_are_one_list() -> None:
    listed = options_of({"tier": "a100", "next_tiers": ["t4", "cpu"]})
    assert listed["tier"] == ["a100", "t4", "cpu"]
    assert options_of({"tier": "a100"})["tier"] == ["a100"]
    assert options_of({"tier": "a100"}, tier="t4,cpu")["tier"] == "t4,cpu"


def test_default_tier_is_no_option() -> None:
    assert not {"tier", "next_tiers"} & options_of({}).keys()


def test_next_tiers_need_one_before_them() -> None:
    with pytest.raises(ConfigurationError, match="there is no tier before them"):
        options_of({"next_tiers": ["t4"]})


def test_places_of_the_forms_inputs_are_all_different() -> None:
    inputs = Cluster.model_json_schema()["properties"].values()
    assert sorted(each["position"] for each in inputs) == list(range(len(inputs)))
