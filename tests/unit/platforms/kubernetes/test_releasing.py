"""A release of what does not go: for how long it is waited for."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import Outage, Silence
from ebbtide.infra.platforms.kubernetes.clusters import releasing
from ebbtide.infra.platforms.kubernetes.kinds import DASK_CLUSTER, LEASE, Kind
from ebbtide.infra.platforms.kubernetes.naming import ENDED_BECAUSE, ROLE
from ebbtide.infra.waiting import now_s
from tests.unit.platforms.reading.objects import CLUSTER, T0, Object, at, ready

FINALIZER = "kopf.zalando.org/KopfFinalizerMarker"


def thing(kind: Kind, finalizer: str, deleted_s: float) -> Object:
    metadata: Any = {**ready("head")["metadata"], "name": CLUSTER, "finalizers": [finalizer]}
    metadata["deletionTimestamp"] = at(deleted_s)
    return {"apiVersion": kind.api, "kind": kind.name, "metadata": metadata}


class Kept:
    """Its DaskCluster stays, and so does the Lease that owns it."""

    ahead_s, namespace = 0.0, "team"

    def __init__(self, finalizer: str, deleted_s: float):
        self.silence, self.asked = Silence(), list[Kind]()
        self._lease = thing(LEASE, "foregroundDeletion", deleted_s)
        self._dask = thing(DASK_CLUSTER, finalizer, deleted_s)
        self._lease["metadata"]["resourceVersion"] = "1"

    def get(self, kind: Kind, _name: str) -> Object | None:
        self.asked.append(kind)
        return {LEASE: self._lease, DASK_CLUSTER: self._dask}.get(kind)

    def list(self, kind: Kind, _labels: object) -> SimpleNamespace:
        return SimpleNamespace(items=[self._lease] if kind == LEASE else [])

    def delete(self, *_: object, **__: object) -> bool:
        return True

    def watch(self, *_: object, **__: object) -> tuple[()]:
        return ()


def release_s(monkeypatch: pytest.MonkeyPatch, finalizer: str, deleted_s: float) -> float:
    """How long a release takes that ends with something left, 100 s after ``T0``."""
    monkeypatch.setattr(releasing, "wall_s", lambda: T0 + 100)
    monkeypatch.setattr(releasing, "_USUALLY_S", 0.0)
    began_s = now_s()
    assert not releasing.release(cast(Api, Kept(finalizer, deleted_s)), CLUSTER).gone
    return now_s() - began_s


def test_what_nobody_lets_go_is_not_waited_for_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert release_s(monkeypatch, FINALIZER, 80) < 1


@pytest.mark.parametrize(("finalizer", "deleted_s"), [(FINALIZER, 99), ("foregroundDeletion", 80)])
def test_what_may_still_go_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, finalizer: str, deleted_s: float
) -> None:
    monkeypatch.setattr(releasing, "_GONE_S", 1.0)
    assert release_s(monkeypatch, finalizer, deleted_s + 0.5) > 1.5


class OnePod:
    """Of a program; what is written on it, and whether it is deleted."""

    def __init__(self, **state: object):
        status = {"containerStatuses": [{"name": "driver", "state": state}]}
        metadata = {"name": "driver", "labels": {ROLE: "driver"}}
        self.pod: Object = {"metadata": metadata, "status": status}
        self.written: list[Any] = []

    def get(self, _kind: Kind, _name: str) -> Object:
        return self.pod

    def merge(self, _kind: Kind, _name: str, change: Any) -> None:
        self.written.append(change["metadata"]["annotations"][ENDED_BECAUSE])


def test_program_of_which_its_node_has_not_said_yet_that_it_runs_is_told_why_it_ends() -> None:
    """Else its end by a signal would be its own failure."""
    late, over = OnePod(waiting={"reason": "ContainerCreating"}), OnePod(terminated={"exitCode": 1})
    for pod in (late, over):
        releasing.end_program(cast(Api, pod), "driver", Reason.CANCELLED)
    assert [json.loads(each)["reason"] for each in late.written] == [Reason.CANCELLED]
    assert over.written == []


class Slow(Kept):
    """Nobody uses the operator; its Lease goes so many seconds after the release began."""

    def __init__(self, goes_after_s: float, outage: Outage | None = None):
        super().__init__("foregroundDeletion", 99)
        self.silence = cast(Silence, SimpleNamespace(outage=outage, unaware_s=0.0))
        self._goes_s = now_s() + goes_after_s

    def get(self, kind: Kind, _name: str) -> Object | None:
        self.asked.append(kind)
        return self._lease if kind == LEASE and now_s() < self._goes_s else None

    def list(self, kind: Kind, _labels: object) -> SimpleNamespace:
        there = kind == LEASE and now_s() < self._goes_s
        return SimpleNamespace(items=[self._lease] if there else [])


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is waited for longer than a second."""
    monkeypatch.setattr(releasing, "_GONE_S", 0.5)
    monkeypatch.setattr(releasing, "_USUALLY_S", 0.0)
    monkeypatch.setattr(releasing, "wall_s", lambda: T0 + 100)


@pytest.mark.usefixtures("quick")
def test_after_an_outage_whoever_has_not_noticed_its_end_is_waited_for_and_said() -> None:
    assert not releasing.release(cast(Api, Slow(1.5)), CLUSTER).gone
    api, said = Slow(1.5, Outage(0.0, 62.0, over=True)), list[str]()
    cast(Any, api.silence).unaware_s = 5.0
    assert releasing.release(cast(Api, api), CLUSTER, said.append).gone
    (why,) = said
    assert why.startswith("the API server was away for 1m02s, and its nodes and controllers notice")
    assert why.endswith(f"left: Lease {CLUSTER}")


@pytest.mark.usefixtures("quick")
def test_who_cannot_know_of_an_outage_says_that_there_may_have_been_one() -> None:
    api, said = Slow(1.5, Outage(0.0, 0.0, over=True)), list[str]()
    cast(Any, api.silence).unaware_s = 5.0
    assert releasing.release(cast(Api, api), CLUSTER, said.append).gone
    assert said[0].startswith("the API server may have been away, and its nodes and controllers")


@pytest.mark.usefixtures("quick")
def test_daskclusters_that_are_not_there_are_asked_for_once() -> None:
    api = Slow(0.7)
    assert releasing.release(cast(Api, api), CLUSTER).gone
    assert api.asked.count(DASK_CLUSTER) == 1


class Unknown(Kept):
    """Its Lease goes at once, without the DaskCluster: the collector does not know that kind."""

    def __init__(self) -> None:
        super().__init__("", 99)
        self.deleted: list[object] = []

    def get(self, kind: Kind, _name: str) -> Object | None:
        there = kind == DASK_CLUSTER and DASK_CLUSTER not in self.deleted
        return self._dask if there else None

    def list(self, _kind: Kind, _labels: object) -> SimpleNamespace:
        return SimpleNamespace(items=[])

    def delete(self, *which: object, **__: object) -> bool:
        self.deleted.append(which[0])
        return True


@pytest.mark.usefixtures("quick")
def test_daskcluster_that_goes_not_with_its_lease_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(releasing, "until", lambda *_, **__: True)
    api = Unknown()
    assert releasing.release(cast(Api, api), CLUSTER).gone
    assert api.deleted[-1] == DASK_CLUSTER
