"""Which workers are on their way: those of which nothing is known that keeps them away."""

from __future__ import annotations

import pytest

from ebbtide.infra.platforms.kubernetes.naming import RELEASING
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import (
    STANDING,
    Object,
    condition,
    deployment,
    event,
    placed,
    running,
    snapshot,
    unschedulable,
    waiting,
)

SPEC = objects.spec()
LATE = unschedulable("worker-c", "0/3 nodes are available: 3 Insufficient cpu.")
GROWS = event(LATE, "TriggeredScaleUp", "pod triggered scale-up: [{compute 1->2 (max: 5)}]")
QUOTA = condition("ReplicaFailure", True, 5, "FailedCreate", "exceeded quota: team")
LEFT = running("worker-c", deletionTimestamp=objects.at(9))


def seen(*more: Object, wanted: int = 3, events: tuple[Object, ...] = ()) -> Snapshot:
    """Two workers are there, and perhaps a third."""
    return snapshot(*STANDING, *more, deployment=deployment(wanted), events=events)


@pytest.mark.parametrize(
    ("found", "coming"),
    [
        (seen(wanted=2), 0),
        (seen(wanted=4), 2),
        (seen(placed("worker-c")), 1),
        (seen(waiting("worker-c", "ContainerCreating")), 1),
        (seen(running("worker-c")), 1),
        (seen(LATE, events=(GROWS,)), 1),
        (seen(LATE), 0),
        (seen(LATE, running("worker-d"), wanted=4), 1),
        (seen(waiting("worker-c", "ErrImagePull", "not found")), 0),
        (seen(LEFT, wanted=2), 0),
        (seen(LEFT, wanted=3), 1),
    ],
)
def test_workers_on_their_way_are_counted(found: Snapshot, coming: int) -> None:
    assert view_of(found, SPEC, None).workers_coming == coming


def test_workers_that_are_refused_are_not_on_their_way() -> None:
    refused = snapshot(*STANDING, deployment=deployment(4, QUOTA))
    assert view_of(refused, SPEC, None).workers_coming == 0


def test_pool_that_refuses_to_grow_brings_nobody() -> None:
    text = "pod didn't trigger scale-up: 1 max node group size reached"
    refused = event(LATE, "NotTriggerScaleUp", text, when=9)
    assert view_of(seen(LATE, events=(GROWS, refused)), SPEC, None).workers_coming == 0


def test_nobody_comes_any_more_while_all_is_given_back() -> None:
    before = view_of(seen(wanted=4), SPEC, None)
    lease = {"metadata": {"name": "heron-1", "annotations": {RELEASING: "yes"}}}
    assert view_of(snapshot(*STANDING, lease=lease), SPEC, before).workers_coming == 0
