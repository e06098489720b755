"""A snapshot of a cluster's objects becomes the view that the steps wait for."""

from __future__ import annotations

from dataclasses import replace

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.kubernetes.naming import RELEASING
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    Snapshot,
    worker_names,
)
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import (
    AUTOSCALER,
    STANDING,
    T0,
    deployment,
    placed,
    pod,
    ready,
    running,
    snapshot,
)

SPEC = objects.spec()


def view(seen: Snapshot, last: ClusterView | None = None) -> ClusterView:
    return view_of(seen, SPEC, last)


def test_cluster_is_admitted_once_each_declared_pod_has_a_node() -> None:
    some = (placed("head"), placed("worker-a", 3), pod("worker-b"))
    assert view(snapshot(*some)).admitted_at is None
    assert view(snapshot(*some[:2])).admitted_at is None
    assert view(snapshot(*some[:2], placed("worker-b", 4))).admitted_at == T0 + 4


def test_head_is_ready_when_its_main_container_says_so() -> None:
    found = view(snapshot(ready("head", 5), running("worker-a"), running("worker-b")))
    assert found.head_ready_at == T0 + 5
    assert found.head_address == "tls://heron-1-head:8786"


def test_workers_are_counted_by_their_own_names() -> None:
    found = view(snapshot(ready("head"), running("worker-b", created=1), ready("worker-z")))
    assert (found.workers_joined, found.workers_wanted) == (1, 2)
    assert found.workers_missing == ("worker-1",)
    assert found.worker_names == {"heron-1-worker-z": "worker-0", "heron-1-worker-b": "worker-1"}
    assert found.workers_ready_at is None


def test_first_workers_are_there_when_the_last_of_them_has_registered() -> None:
    assert view(snapshot(*STANDING)).workers_ready_at == T0 + 7


def test_autoscaler_that_was_made_early_waits_for_the_first_workers() -> None:
    early = view(snapshot(*STANDING[:2], placed("worker-b"), autoscaler=AUTOSCALER))
    assert early.admitted_at is not None
    assert early.autoscaler_at is None
    late = view(snapshot(*STANDING, autoscaler={"metadata": {"creationTimestamp": objects.at(1)}}))
    assert late.autoscaler_at == late.workers_ready_at


def test_all_who_look_see_the_same() -> None:
    assert view(snapshot(*STANDING, now=20)) == view(snapshot(*STANDING, now=40))


def test_what_was_reached_stays_reached() -> None:
    before = view(snapshot(*STANDING, autoscaler=AUTOSCALER))
    after = view(snapshot(ready("head"), pod("worker-c", 90)), before)
    assert before.autoscaler_at == T0 + 12
    for moment in ("admitted_at", "head_ready_at", "workers_ready_at", "autoscaler_at"):
        assert getattr(after, moment) == getattr(before, moment)
    assert after.worker_names["heron-1-worker-c"] == "worker-2"


def test_names_are_never_given_twice() -> None:
    names = worker_names((pod("worker-b"),), {"gone": "worker-4"})
    assert names == {"gone": "worker-4", "heron-1-worker-b": "worker-5"}


def test_leaving_worker_counts_as_none() -> None:
    going = ready("worker-b", 7, created=1, deletionTimestamp=objects.at(8))
    found = view(snapshot(*STANDING[:2], going, deployment=deployment(1)))
    assert (found.workers_joined, found.workers_wanted, found.workers_missing) == (1, 1, ())


def test_plain_program_needs_its_own_pod_only() -> None:
    spec = objects.spec("none")
    found = view_of(snapshot(placed("driver", 4), deployment=None), spec, None)
    steps = (found.admitted_at, found.head_ready_at, found.workers_ready_at, found.autoscaler_at)
    assert set(steps) == {T0 + 4}
    assert found.workers_wanted == 0


def test_cluster_without_its_lease_is_as_it_was_last() -> None:
    before = view(snapshot(*STANDING))
    assert view(snapshot(lease=None), before) == before


def test_nothing_fails_while_it_is_released() -> None:
    lease = {"metadata": {"name": "heron-1", "annotations": {RELEASING: "yes"}}}
    before = view(snapshot(*STANDING))
    assert view(snapshot(lease=lease), before).failure is None


def test_head_that_has_gone_is_lost() -> None:
    before = view(snapshot(*STANDING))
    failure = view(snapshot(*STANDING[1:]), before).failure
    assert failure is not None
    assert (failure.step, failure.reason) == (Step.RUN_USER_JOB, Reason.HEAD_LOST)


def test_head_that_was_deleted_between_two_looks_was_deleted_by_somebody() -> None:
    before, head = view(snapshot(*STANDING)), STANDING[0]
    gone = head | {"metadata": head["metadata"] | {"deletionTimestamp": "2026-11-28T10:00:00Z"}}
    seen = replace(snapshot(*STANDING[1:]), gone={head["metadata"]["name"]: gone})
    failure = view(seen, before).failure
    assert failure is not None
    assert failure.reason is Reason.POD_LOST
    assert failure.detail == "the head: its pod was deleted by somebody else"


def test_head_that_is_too_slow_is_given_up() -> None:
    slow = (running("head", 2), running("worker-a"), running("worker-b"))
    assert view(snapshot(*slow, now=100)).failure is None
    failure = view(snapshot(*slow, now=123)).failure
    assert failure is not None
    assert (failure.step, failure.reason) == (Step.START_HEAD, Reason.HEAD_NOT_READY)
    assert failure.detail == "head: has not answered yet: not within 2m"


def test_time_to_register_counts_from_a_head_that_answers() -> None:
    late = (ready("head", 100), running("worker-a"), ready("worker-b", 101))
    assert view(snapshot(*late, now=219)).failure is None
    failure = view(snapshot(*late, now=221)).failure
    assert failure is not None
    assert failure.reason is Reason.WORKERS_NOT_JOINED
    assert failure.detail.startswith("worker-0: has not registered")


def test_failure_goes_with_its_cause() -> None:
    slow = (running("head", 2), running("worker-a"), running("worker-b"))
    failed = view(snapshot(*slow, now=200))
    assert view(snapshot(*STANDING, now=201), failed).failure is None


def test_further_workers_may_be_missing_for_ever() -> None:
    before = view(snapshot(*STANDING))
    slow = replace(snapshot(*STANDING, running("worker-c", created=9), now=5000))
    found = view(slow, before)
    assert found.failure is None
    assert found.waiting is not None
    assert found.waiting.message.startswith("worker-2: has not registered")


def test_pods_are_timed_by_the_servers_moments_which_stay() -> None:
    first = view(snapshot(ready("head", 5), running("worker-a", 3), placed("worker-b", 2)))
    assert first.times["head"].ready_at == T0 + 5
    assert first.times["worker-0"].running_at == T0 + 3
    assert first.times["worker-1"].placed_at == T0 + 2
    later = view(snapshot(ready("head", 9), running("worker-a", 8), now=20), first)
    assert later.times == first.times
