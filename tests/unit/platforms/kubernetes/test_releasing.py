"""A release of what does not go: for how long it is waited for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.clusters import releasing
from ebbtide.infra.platforms.kubernetes.kinds import DASK_CLUSTER, LEASE, Kind
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
        self._lease = thing(LEASE, "foregroundDeletion", deleted_s)
        self._dask = thing(DASK_CLUSTER, finalizer, deleted_s)
        self._lease["metadata"]["resourceVersion"] = "1"

    def get(self, kind: Kind, _name: str) -> Object | None:
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
