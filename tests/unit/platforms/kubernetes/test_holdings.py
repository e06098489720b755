"""What there is of a cluster, and what of it nobody can end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.clusters.holdings import held, present
from ebbtide.infra.platforms.kubernetes.kinds import POD, Kind
from tests.unit.platforms.reading.objects import T0, Object, at, disrupted, ready

GOES: dict[str, Any] = {"deletionTimestamp": at(0)}
LOST = disrupted(ready("driver", **GOES), "DeletionByTaintManager")


class OneLostNode:
    """Has these objects; its only node does not answer."""

    ahead_s, namespace = 0.0, "team"

    def __init__(self, *things: Object):
        self._things = things

    def list(self, kind: Kind, _labels: object) -> SimpleNamespace:
        return SimpleNamespace(items=[each for each in self._things if each["kind"] == kind.name])

    def get(self, _kind: Kind, _name: str) -> Object:
        return {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}


def test_pod_on_a_lost_node_is_listed_with_where_and_until_when_it_stays() -> None:
    lost, living = held(cast(Api, OneLostNode(LOST, ready("head"))), None, T0)
    assert lost.where == "pod in namespace team on node node-a, which does not answer"
    assert lost.until == "until node-a is back, deleted, or tainted out-of-service"
    assert (lost.stays, living.stays, living.until) == (True, False, "")


@pytest.mark.parametrize(
    ("things", "seen"), [((LOST,), set()), ((LOST, ready("head")), {"heron-1"})]
)
def test_what_nobody_can_end_makes_no_orphan(things: tuple[Object, ...], seen: set[str]) -> None:
    assert present(cast(Api, OneLostNode(*things)), (POD,)) == seen
