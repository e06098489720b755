"""Each kind of wait for a node has its own deadline and words; queues have none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebbtide.infra.models.cluster import Failure
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import Object, event, pod, snapshot, unschedulable

GROWS = replace(objects.POOL, min_nodes=0, max_nodes=5)
FULL = "0/3 nodes are available: 3 Insufficient cpu."
HEAD = unschedulable("head", FULL)
HEARD = event(HEAD, "FailedScheduling", FULL, 1, "default-scheduler")
GREW = event(HEAD, "TriggeredScaleUp", "pod triggered scale-up: [{compute 0->1 (max: 5)}]", 10)
NO = "pod didn't trigger scale-up: "
BACK_OFF = f"{NO}1 in backoff after failed scale-up"
WEEK_S = 7 * 86_400.0


def failure(seen: Snapshot, **pool: float) -> Failure | None:
    spec = objects.spec()
    grows = replace(GROWS, **pool)  # type: ignore[arg-type]
    return view_of(seen, replace(spec, cluster=replace(spec.cluster, pool=grows)), None).failure


def refused(text: str, first: float, last: float) -> Object:
    """As the same words are said again and again."""
    found = event(HEAD, "NotTriggerScaleUp", text, first)
    return {**found, "lastTimestamp": objects.at(last)}


def at(now: float, *events: Object, head: Object = HEAD) -> Snapshot:
    return snapshot(head, now=now, events=(HEARD, *events))


@pytest.mark.parametrize(
    ("said", "late_s", "reason", "words"),
    [
        ((), 601, Reason.NO_NODE, "and nobody says to make one (3 Insufficient cpu); given up"),
        ((GREW,), 1210, Reason.NO_NODE, "grows 0 → 1; it takes its time; given up after 20m"),
        (
            (refused(f"{NO}1 not ready for scale-up", 10, 300),),
            310,
            Reason.NO_NODE,
            "pool compute does not grow: 1 not ready for scale-up; given up after 5m",
        ),
        (
            (refused(BACK_OFF, 10, 600),),
            610,
            Reason.OUT_OF_STOCK,
            "could not grow, and is left alone for a while; given up after 10m",
        ),
    ],
)
def test_wait_that_nobody_ends_is_a_fault_of_its_own(
    said: tuple[Object, ...], late_s: float, reason: Reason, words: str
) -> None:
    assert failure(at(late_s - 2, *said)) is None
    found = failure(at(late_s, *said))
    assert found is not None
    assert (found.reason, found.in_vain) == (reason, True)
    assert words in found.detail


def test_scheduler_that_does_not_look_is_a_fault_of_the_cluster() -> None:
    assert failure(snapshot(pod("head"), now=299)) is None
    found = failure(snapshot(pod("head"), now=300))
    assert found is not None
    assert found.reason is Reason.LAUNCH_FAILED
    assert found.detail == "head: the scheduler has not looked at it yet; given up after 5m"


def test_pool_out_of_stock_counts_from_the_first_time_over_new_orders() -> None:
    ordered = [replaced(GREW, each) for each in (310, 590)]
    said = (refused(BACK_OFF, 20, 300), ordered[0], refused(f"{BACK_OFF}, 1 other", 320, 615))
    found = failure(at(620, *said))
    assert found is not None
    assert found.reason is Reason.OUT_OF_STOCK


def replaced(grew: Object, when: float) -> Object:
    return event(HEAD, "TriggeredScaleUp", grew["message"], when)


@pytest.mark.parametrize(
    "text", ["1 max node group size reached", 'all types exceed limits for nodepool: "compute"']
)
def test_full_pool_is_a_queue(text: str) -> None:
    assert failure(at(WEEK_S, refused(f"{NO}{text}", 10, WEEK_S))) is None


def test_pool_of_a_fixed_size_is_a_queue() -> None:
    assert failure(at(WEEK_S), min_nodes=5) is None


def test_who_may_not_read_events_does_not_take_that_for_silence() -> None:
    assert failure(snapshot(HEAD, now=WEEK_S)) is None


@pytest.mark.parametrize("said", [(), (GREW,)])
def test_pool_says_itself_how_long_its_nodes_take(said: tuple[Object, ...]) -> None:
    assert failure(at(30, *said), node_within_s=60) is None
    assert failure(at(75, *said), node_within_s=60) is not None


KARPENTERS = 'incompatible with nodepool "compute", no instance type '


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("has the required offering", Reason.OUT_OF_STOCK),
        (
            "which met the scheduling requirements and had enough resources, had a required"
            " offering",
            Reason.OUT_OF_STOCK,
        ),
        (
            "which met the scheduling requirements and the required offering had the required"
            " resources",
            Reason.OUT_OF_STOCK,
        ),
        ("met the requirements/resources/offering tuple", Reason.OUT_OF_STOCK),
        ("had enough resources or had a required offering", Reason.TIER_EXCEEDS_POOL),
        ("has enough resources", Reason.TIER_EXCEEDS_POOL),
    ],
)
def test_stock_out_of_karpenter_is_told_from_a_tier_that_is_too_large(
    text: str, reason: Reason
) -> None:
    """The words of Karpenter 1.9's InstanceTypeFilterError."""
    told = event(HEAD, "FailedScheduling", f"{KARPENTERS}{text}, resources={{}}", 9, "karpenter")
    view = view_of(at(20, told), objects.spec(), None)
    assert view.waiting is not None
    assert view.waiting.reason is reason


def hurried(seen: Snapshot) -> Failure | None:
    """What fails where the run has another tier."""
    spec = replace(objects.spec(), next_tiers=(objects.spec().cluster,))
    return view_of(seen, replace(spec, cluster=replace(spec.cluster, pool=GROWS)), None).failure


@pytest.mark.parametrize(
    ("said", "late_s", "reason"),
    [
        ((refused(BACK_OFF, 10, 20),), 20, Reason.OUT_OF_STOCK),
        ((refused(f"{NO}1 max node group size reached", 10, 20),), 20, Reason.POOL_AT_MAX),
        ((refused(f"{NO}1 not ready for scale-up", 10, 70),), 70, Reason.NO_NODE),
        ((), 61, Reason.NO_NODE),
        ((GREW,), 460, Reason.NO_NODE),
    ],
)
def test_run_with_another_tier_waits_less_long(
    said: tuple[Object, ...], late_s: float, reason: Reason
) -> None:
    assert hurried(at(late_s - 2, *said)) is None
    assert failure(at(late_s, *said)) is None
    found = hurried(at(late_s, *said))
    assert found is not None
    assert found.reason is reason
