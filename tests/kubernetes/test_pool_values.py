"""Pods and nodes as the pool controller reads them from the API server's JSON."""

from __future__ import annotations

from typing import Any

import pytest

from tests.kubernetes.lab.pools import cluster, values
from tests.kubernetes.lab.pools.values import Pod


def read(spec: dict[str, Any], reason: str = "Unschedulable") -> Pod:
    """A pod with this spec that the scheduler turned down."""
    meta = {"name": "work", "namespace": "here", "uid": "1", "labels": {"app": "work"}}
    turned_down = {"type": "PodScheduled", "status": "False", "reason": reason}
    status = {"phase": "Pending", "conditions": [turned_down]}
    return values.pod_from({"metadata": meta, "spec": spec, "status": status})


def asking(cpu: str, **more: Any) -> dict[str, Any]:
    return {"name": "main", "resources": {"requests": {"cpu": cpu}}, **more}


def test_requests_are_summed_over_containers_and_sidecars() -> None:
    sidecar, first = asking("100m", restartPolicy="Always"), asking("9")
    spec = {"containers": [asking("1"), asking("500m")], "initContainers": [sidecar, first]}
    assert float(read(spec).requests["cpu"]) == 1.6


def test_gated_pod_does_not_make_a_pool_grow() -> None:
    assert read({"containers": []}).pending
    assert not read({"containers": []}, reason="SchedulingGated").pending


@pytest.mark.parametrize(
    ("volume", "local"),
    [
        ({"emptyDir": {}}, True),
        ({"hostPath": {"path": "/"}}, True),
        ({"emptyDir": {"medium": "Memory"}}, False),
        ({"configMap": {"name": "x"}}, False),
    ],
    ids=str,
)
def test_data_on_the_nodes_disk_is_local(volume: dict[str, Any], local: bool) -> None:
    assert read({"containers": [], "volumes": [volume]}).local_data is local


def test_node_is_ready_once_the_scheduler_may_use_it() -> None:
    meta = {"name": "a", "labels": {values.MARK: "small"}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    tainted = {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}
    assert values.node_from({"metadata": meta, "spec": {}, "status": ready}).ready
    assert not values.node_from({"metadata": meta, "spec": tainted, "status": ready}).ready


@pytest.mark.parametrize(
    ("space", "selector", "covered"),
    [
        ("here", {"matchLabels": {"app": "work"}}, True),
        ("here", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ("here", {"matchLabels": {"app": "other"}}, False),
        ("there", {"matchLabels": {"app": "work"}}, False),
    ],
)
def test_budget_covers_pods_of_its_namespace_and_selector(
    space: str, selector: dict[str, Any], covered: bool
) -> None:
    budget = {"metadata": {"namespace": space}, "spec": {"selector": selector}}
    assert cluster.covers(budget, read({"containers": []})) is covered
