"""A container is known to run by its node's event, a second before a pod's status says so."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from tests.unit.platforms.reading.objects import (
    CLUSTER,
    T0,
    ended,
    event,
    placed,
    running,
    waiting,
)


def started(pod: Object, container: str = "driver", **about: Any) -> Object:
    made = event(pod, "Started", f"Started container {container}")
    made["involvedObject"] |= {"fieldPath": f"spec.containers{{{container}}}", **about}
    return made


def begun(pod: Object | None, *events: Object) -> bool:
    snapshot = Snapshot(cluster=CLUSTER, now=T0, events=events)
    return snapshot.has_begun(pod, "driver")


@pytest.mark.parametrize(
    "pod",
    [
        placed("driver"),
        waiting("driver", "ContainerCreating"),
        waiting("driver", "PodInitializing"),
    ],
    ids=["no status", "creating", "initializing"],
)
def test_event_is_enough_before_the_status_tells(pod: Object) -> None:
    assert not begun(pod)
    assert begun(pod, started(pod))


def test_status_is_enough_without_events() -> None:
    assert begun(running("driver"))
    assert not begun(None)


def test_event_of_another_container_pod_or_time_is_not() -> None:
    pod = placed("driver")
    assert not begun(pod, started(pod, "files"))
    assert not begun(pod, started(pod, uid="of an earlier pod"))
    assert not begun(pod, started(placed("head")))
    assert not begun(pod, event(pod, "Pulled", "Container image is there"))


def test_one_that_has_ended_or_starts_again_does_not_run() -> None:
    for pod in (ended("driver", 0), waiting("driver", "CrashLoopBackOff", restartCount=1)):
        assert not begun(pod, started(pod))
