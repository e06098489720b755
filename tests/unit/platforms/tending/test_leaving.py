"""What a run is told of workers that go."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import SPOT
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.tending.scaling.leaving import Leaving
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from tests.unit.platforms.tending.fakes import CLUSTER, Told, pod

NAMES = {"w-a": "worker-0", "w-b": "worker-1"}
LEAVES: dict[str, Any] = {
    "deletionTimestamp": "1970-01-01T00:02:00Z",
    "deletionGracePeriodSeconds": 60,
}


class Stage:
    """The ends of one cluster's workers."""

    def __init__(self) -> None:
        self.told = Told()
        self.leaving = Leaving(RunName("heron"), cast(StatusReporter, self.told))

    def look(self, *pods: Object, now: float = 65.0, lease: Object | None = None) -> None:
        lease = lease or {"metadata": {"name": CLUSTER}}
        seen = Snapshot(cluster=CLUSTER, now=now, lease=lease, pods=pods)
        self.leaving.tick(seen, NAMES)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def ended(made: Object, code: int, reason: str = "Error") -> Object:
    terminated: dict[str, Any] = {"exitCode": code, "reason": reason}
    status = {"name": "worker", "state": {"terminated": terminated}, "restartCount": 0}
    made["status"]["containerStatuses"] = [status]
    return made


def test_worker_that_left_is_told_with_how_long_it_took(stage: Stage) -> None:
    stage.look(pod("w-a"), pod("w-b", **LEAVES))
    assert stage.told.events == []
    stage.look(pod("w-a"), now=72.0)
    assert stage.told.events == [(EventKind.LEFT, "worker-1 left after 12s")]


def test_worker_that_died_is_told_once(stage: Stage) -> None:
    for _ in range(2):
        stage.look(ended(pod("w-a"), 3))
    ((kind, message),) = stage.told.events
    assert kind is EventKind.WARNING
    assert message.startswith("worker-0 died and is replaced: it ")


def test_worker_that_ran_out_of_memory_is_told_as_that(stage: Stage) -> None:
    stage.look(ended(pod("w-a"), 137, "OOMKilled"))
    ((_, message),) = stage.told.events
    assert "out of memory" in message


def test_what_ends_because_all_is_given_back_is_not_told(stage: Stage) -> None:
    released = {"metadata": {"name": CLUSTER, "deletionTimestamp": "1970-01-01T00:02:00Z"}}
    stage.look(ended(pod("w-a"), 3), lease=released)
    assert stage.told.events == []


def test_worker_on_a_lost_node_is_told_once_and_does_not_leave(stage: Stage) -> None:
    lost = pod("w-b", **LEAVES)
    lost["spec"]["nodeName"] = "node-a"
    why = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}
    lost["status"]["conditions"] = [why]
    for pods in ((pod("w-a"), lost), (pod("w-a"), lost), (pod("w-a"),)):
        stage.look(*pods)
    said = "worker-1 is lost and is replaced: its node node-a does not answer any more"
    assert stage.told.events == [(EventKind.WARNING, said)]


def test_worker_that_goes_with_a_spot_node_is_told_as_that_and_drains(stage: Stage) -> None:
    evicted = pod("w-b", **LEAVES)
    evicted["spec"]["nodeName"] = "node-a"
    evicted["metadata"]["annotations"] = {SPOT: "true"}
    why = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    evicted["status"]["conditions"] = [why]
    for _ in range(2):
        stage.look(pod("w-a"), evicted)
    stage.look(pod("w-a"), now=72.0)
    assert stage.told.events == [
        (
            EventKind.WARNING,
            "worker-1 is reclaimed and is replaced: its spot node is taken away: it was evicted"
            " from node node-a, as when a node is drained",
        ),
        (EventKind.LEFT, "worker-1 left after 12s"),
    ]
