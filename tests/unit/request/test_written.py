"""The ebb.yaml that ``ebb init`` writes is read as what was seen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from ebbtide.infra.models.hardware import NodePool, Taint
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog, Machine, load_catalog
from ebbtide.infra.request.ebb_yaml.schema import MODELINE, schema
from ebbtide.infra.request.ebb_yaml.written import file_text

GIB = 2**30
NODE = Resources(7910, 28 * GIB + 2**20, 2)
MACHINE = Machine(Resources(4000, 16 * GIB))


def nodes(name: str, **more: Any) -> NodePool:
    found = {"node": NODE, "max_nodes": 3, "capacity": NODE.times(3), **more}
    return NodePool(name=name, platform="kubernetes", **found)


def understood(text: str, folder: Path) -> Catalog:
    file = folder / "ebb.yaml"
    file.write_text(text)
    return load_catalog(file, MACHINE)[0]


def test_this_machine_is_written_as_it_is_without_a_file(tmp_path: Path) -> None:
    without, _ = load_catalog(None, MACHINE)
    found = understood(file_text(without.pools, "this machine"), tmp_path)
    assert found.tiers == without.tiers
    assert found.default_tier == without.default_tier


def test_pools_of_nodes_are_written_as_they_were_seen(tmp_path: Path) -> None:
    taint = Taint(key="dedicated", value="ebb", effect="NoSchedule")
    asked = (nodes("1a", taints=(taint,)), nodes("b", label="karpenter.sh/nodepool"))
    found = understood(file_text(asked, "a Kubernetes"), tmp_path)
    for pool, seen in zip(found.pools, asked, strict=True):
        same = (pool.name, pool.node, pool.max_nodes, pool.label, pool.taints)
        assert same == (seen.name, NODE, 3, seen.label, seen.taints)
    assert {tier.name for tier in found.tiers if tier.resources.gpus} == {"1a-gpu", "b-gpu"}
    assert all(tier.resources.fits_in(NODE) for tier in found.tiers)


@pytest.mark.parametrize("platform", ["local", "kubernetes"])
def test_what_is_behind_comment_signs_may_be_said_too(platform: str, tmp_path: Path) -> None:
    here = load_catalog(None, MACHINE)[0].pools
    text = file_text(here if platform == "local" else [nodes("a")], "somewhere")
    assert text.startswith(f"{MODELINE}\n")
    said = re.sub(r"(?m)^( *)# ([a-z-]+:|  )", r"\1\2", text.removeprefix(MODELINE))
    assert said.count("\n    warm: 1") == (platform == "kubernetes")
    assert understood(said, tmp_path).keep
    assert list(Draft202012Validator(schema()).iter_errors(yaml.safe_load(said))) == []


def test_pools_that_may_have_no_node_now_are_told_of_where_there_are_nodes() -> None:
    here = load_catalog(None, MACHINE)[0].pools
    assert "no node now" in file_text([nodes("a")], "a Kubernetes")
    assert "no node now" not in file_text(here, "this machine")
