"""Pods that were deleted and stay, because their node does not answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, Silence
from ebbtide.infra.platforms.kubernetes.clusters import stranded as module
from ebbtide.infra.platforms.kubernetes.clusters.stranded import stranded
from tests.unit.platforms.reading.objects import (
    T0,
    Object,
    at,
    condition,
    disrupted,
    ready,
    waiting,
    with_condition,
)

DUE_S = 100.0
DELETED: dict[str, Any] = {"deletionTimestamp": at(DUE_S)}
LOST = disrupted(ready("worker-a", **DELETED), "DeletionByTaintManager")
SILENT = with_condition(ready("driver", **DELETED), condition("Ready", False, 40))
GOES = ready("head", **DELETED)


class Nodes:
    """Answers with one node, or refuses to."""

    ahead_s = 0.0

    def __init__(self, node: Object | None, refuses: int = 0):
        self.silence = Silence()
        self.node, self.refuses, self.asked = node, refuses, 0

    def get(self, _kind: object, _name: str) -> Object | None:
        self.asked += 1
        if self.refuses:
            raise ApiError(self.refuses, "Forbidden", "no")
        return self.node


def node(ready: str) -> Object:
    return {"status": {"conditions": [{"type": "Ready", "status": ready}]}}


def names(nodes: Nodes, *pods: Object) -> list[str]:
    return list(stranded(cast(Api, nodes), pods))


@pytest.fixture(autouse=True)
def _in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    it_is(monkeypatch, DUE_S)


def it_is(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(module, "wall_s", lambda: T0 + seconds)


@pytest.mark.parametrize("lost", [node("Unknown"), node("False"), None])
def test_pods_of_a_node_that_does_not_answer_or_has_gone_stay(lost: Any) -> None:
    nodes = Nodes(lost)
    assert names(nodes, LOST, SILENT) == ["heron-1-worker-a", "heron-1-driver"]
    assert nodes.asked == 1, "once for a node"


def test_pod_that_was_not_deleted_does_not_stay() -> None:
    assert names(Nodes(None), with_condition(ready("head"), condition("Ready", False, 40))) == []


def test_node_is_not_asked_for_while_its_pods_go_in_their_time() -> None:
    nodes = Nodes(None)
    assert names(nodes, GOES) == []
    assert nodes.asked == 0


@pytest.mark.parametrize(("status", "stays"), [("Unknown", True), ("True", False)])
def test_node_of_a_pod_that_is_overdue_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, status: str, stays: bool
) -> None:
    it_is(monkeypatch, DUE_S + 4)
    assert names(Nodes(node(status)), GOES) == (["heron-1-head"] if stays else [])


def test_where_nodes_may_not_be_read_the_pods_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    it_is(monkeypatch, DUE_S + 4)
    assert names(Nodes(None, refuses=403), SILENT, GOES) == ["heron-1-driver"]


def test_api_server_that_does_not_answer_is_no_lost_node() -> None:
    with pytest.raises(ApiError):
        names(Nodes(None, refuses=500), LOST)


def creating(deleted_s: float) -> Object:
    """A worker that was told to go at ``deleted_s``, and of which nothing has begun."""
    pod = waiting("worker-b", "ContainerCreating")
    return {**pod, "metadata": {**pod["metadata"], "deletionTimestamp": at(deleted_s)}}


def test_pod_whose_image_is_still_pulled_is_waited_for_by_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes = Nodes(node("True"))
    it_is(monkeypatch, DUE_S + 5)
    assert names(nodes, creating(DUE_S)) == [], "a busy kubelet may only have made it"
    it_is(monkeypatch, DUE_S + 7)
    (stay,) = stranded(cast(Api, nodes), [creating(DUE_S)]).values()
    assert stay.where == "on node node-a, which still pulls its image"
    assert stay.until == "until node-a has it or has failed"
    assert names(nodes, GOES) == [], "it has begun: it is ended"


def test_after_an_outage_a_node_that_is_late_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    it_is(monkeypatch, DUE_S + 60)
    late = Nodes(node("Unknown"))
    late.silence = cast(Silence, SimpleNamespace(unaware_s=5.0))
    assert names(late, GOES, LOST) == [LOST["metadata"]["name"]]
    late.silence = Silence()
    assert len(names(late, GOES, LOST)) == 2
