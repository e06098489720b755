"""What there is of a cluster, and what of it nobody can end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, Silence
from ebbtide.infra.platforms.kubernetes.clusters.holdings import held, operated, present
from ebbtide.infra.platforms.kubernetes.kinds import DASK_CLUSTER, NODE, POD, Kind
from tests.unit.platforms.reading.objects import CLUSTER, T0, Object, at, disrupted, ready

GOES: dict[str, Any] = {"deletionTimestamp": at(0)}
LOST = disrupted(ready("driver", **GOES), "DeletionByTaintManager")


class OneLostNode:
    """Has these objects; its only node does not answer."""

    ahead_s, namespace, silence = 0.0, "team", Silence()

    def __init__(self, *things: Object):
        self._things = things

    def list(self, kind: Kind, _labels: object) -> SimpleNamespace:
        return SimpleNamespace(items=[each for each in self._things if each["kind"] == kind.name])

    def get(self, kind: Kind, name: str) -> Object | None:
        if kind == NODE:
            return {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
        things = (each for each in self._things if each["kind"] == kind.name)
        return next((each for each in things if each["metadata"]["name"] == name), None)


class NoOperator(OneLostNode):
    """Knows no DaskClusters, or does not let them be looked at."""

    def __init__(self, status: int, *things: Object):
        super().__init__(*things)
        self._status = status

    def list(self, kind: Kind, labels: object) -> SimpleNamespace:
        self._refuse(kind)
        return super().list(kind, labels)

    def get(self, kind: Kind, name: str) -> Object | None:
        self._refuse(kind)
        return super().get(kind, name)

    def _refuse(self, kind: Kind) -> None:
        if kind == DASK_CLUSTER:
            raise ApiError(self._status, "", "no")


def dask_cluster(**more: Any) -> Object:
    metadata = {**ready("head")["metadata"], "name": CLUSTER, **more}
    return {"apiVersion": DASK_CLUSTER.api, "kind": DASK_CLUSTER.name, "metadata": metadata}


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


@pytest.mark.parametrize("which", [None, CLUSTER])
def test_dask_cluster_that_its_operator_does_not_let_go_is_named_with_what_to_do(
    which: ClusterId | None,
) -> None:
    kept = dask_cluster(finalizers=["orphan", "kopf.zalando.org/KopfFinalizerMarker"], **GOES)
    (found,) = held(cast(Api, OneLostNode(kept)), which, T0)
    assert (found.role, found.name, found.stays) == ("daskcluster", CLUSTER, False)
    assert found.where == (
        "daskcluster in namespace team, kept by finalizer kopf.zalando.org/KopfFinalizerMarker"
    )
    assert found.until == (
        "until Dask's operator takes its finalizer away: start it again, or kubectl -n team patch"
        """ daskclusters heron-1 --type=merge -p '{"metadata":{"finalizers":null}}'"""
    )


def test_dask_cluster_that_goes_by_itself_is_listed_as_all_else_is() -> None:
    lives = dask_cluster(finalizers=["kopf.zalando.org/KopfFinalizerMarker"])
    goes = dask_cluster(finalizers=["foregroundDeletion"], **GOES)
    for thing in (lives, goes):
        (found,) = held(cast(Api, OneLostNode(thing)), None, T0)
        assert (found.where, found.until) == ("daskcluster in namespace team", "")


@pytest.mark.parametrize("which", [None, CLUSTER])
@pytest.mark.parametrize("status", [403, 404])
def test_where_there_are_no_dask_clusters_all_else_is_listed(
    which: ClusterId | None, status: int
) -> None:
    (found,) = held(cast(Api, NoOperator(status, ready("head"))), which, T0)
    assert found.role == "head"


def test_server_that_is_away_has_not_said_that_there_are_none() -> None:
    with pytest.raises(ApiError):
        operated(cast(Api, NoOperator(500)), CLUSTER)
