"""The nodes of a pool, and what pods of ours ask of them."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import NODE, POD, Kind
from ebbtide.infra.platforms.kubernetes.nodes import nodes_of

MI = 2**20
POOL = NodePool(name="far", platform="kubernetes", capacity=Resources(80_000, 2**40))


class FakeApi:
    """Has lists of objects, whatever the labels that are asked for."""

    def __init__(self, objects: Mapping[Kind, list[dict[str, Any]]]):
        self._objects = objects

    def list(self, kind: Kind, _labels: object) -> SimpleNamespace:
        return SimpleNamespace(items=self._objects[kind])


def test_container_without_requests_asks_for_nothing() -> None:
    allocatable = {"cpu": "3920m", "memory": "1024Mi"}
    ready = [{"type": "Ready", "status": "True"}]
    node = {
        "metadata": {"name": "n1"},
        "spec": {},
        "status": {"allocatable": allocatable, "conditions": ready},
    }
    main = {"resources": {"requests": {"cpu": "1500m", "memory": "512Mi"}}}
    asks_half = {"resources": {"requests": {"cpu": "100m"}}}
    pod = {"spec": {"nodeName": "n1", "containers": [main, {"resources": {}}, {}, asks_half]}}
    (found,) = nodes_of(cast(Api, FakeApi({POD: [pod], NODE: [node]})), POOL)
    assert found.capacity == Resources(3920, 1024 * MI)
    assert found.used == Resources(1600, 512 * MI)
