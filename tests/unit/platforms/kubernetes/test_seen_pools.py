"""Pools as the labels of nodes say: what ``ebb init --platform kubernetes`` begins with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.infra.models.hardware import POOL_LABEL
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms import extras
from ebbtide.infra.platforms.kubernetes.administration.seen_pools import pools_of

KARPENTER = "karpenter.sh/nodepool"
CONTROL = "node-role.kubernetes.io/control-plane"


def node(cpu: str, memory: str, *taints: str, **labels: str) -> dict[str, Any]:
    spec = {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints]}
    status = {"allocatable": {"cpu": cpu, "memory": memory, "nvidia.com/gpu": "1"}}
    return {"metadata": {"name": "n", "labels": labels}, "spec": spec, "status": status}


def test_of_a_pool_the_smallest_node_counts() -> None:
    label = {POOL_LABEL: "general"}
    (pool,) = pools_of([node("8", "30Gi", **label), node("7910m", "31Gi", **label)])
    assert (pool.name, pool.max_nodes) == ("general", 2)
    assert pool.node == Resources(7910, 30 * 2**30, 1)


def test_the_first_usual_label_that_any_node_has_counts() -> None:
    found = pools_of([node("8", "30Gi", **{KARPENTER: "b"}), node("1", "1Gi", agentpool="a")])
    assert [(pool.name, pool.label) for pool in found] == [("b", KARPENTER)]


def test_a_label_may_be_named() -> None:
    found = pools_of([node("8", "30Gi", **{KARPENTER: "b", "team": "a"})], "team")
    assert [(pool.name, pool.label) for pool in found] == [("a", "team")]


def test_control_planes_are_no_pool_and_passing_taints_are_no_pools() -> None:
    taints = (
        *("node.kubernetes.io/not-ready", "DeletionCandidateOfClusterAutoscaler"),
        *("ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "dedicated"),
    )
    label = {POOL_LABEL: "a"}
    nodes = [node("8", "30Gi", *taints, **label), node("9", "9Gi", **label, **{CONTROL: ""})]
    (pool,) = pools_of(nodes)
    assert ([str(taint) for taint in pool.taints], pool.max_nodes) == (["dedicated:NoSchedule"], 1)


def test_a_taint_that_one_node_has_is_not_its_pools() -> None:
    label = {POOL_LABEL: "a"}
    (pool,) = pools_of([node("8", "30Gi", "broken", **label), node("8", "30Gi", **label)])
    assert pool.taints == ()


def test_a_node_that_has_not_told_what_it_has_does_not_count() -> None:
    label = {POOL_LABEL: "a"}
    (pool,) = pools_of([node("8", "30Gi", **label), node("0", "0", **label)])
    assert (pool.max_nodes, pool.node) == (1, Resources(8000, 30 * 2**30, 1))


def test_init_writes_what_was_seen_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = pools_of([node("8", "30Gi", **{POOL_LABEL: "general"})])
    monkeypatch.setattr(extras, "load", lambda _path, _platform: lambda _settings, _label: seen)
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--platform", "kubernetes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pools"] == ["general"]
    written = (tmp_path / "ebb.yaml").read_text()
    assert "nodes: 0..1" in written
    assert json.loads((tmp_path / ".ebb.schema.json").read_text())["title"] == "ebb.yaml"
    assert main(["init"]) == 64
    assert (tmp_path / "ebb.yaml").read_text() == written


def test_init_says_how_to_go_on_where_no_node_says_its_pool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extras, "load", lambda _path, _platform: lambda _settings, _label: ())
    assert main(["init", "--platform", "kubernetes", "--print"]) == 64
    assert "--label NAME" in capsys.readouterr().err
