"""Why a cluster is late, in the words of whoever decides, and when that is given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.models.cluster import ClusterView, Failure, WaitingView
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, as_ebb_error
from ebbtide.infra.platforms.kubernetes.reading.scheduling import never_fits
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import (
    GI,
    STANDING,
    T0,
    Object,
    condition,
    deployment,
    event,
    placed,
    pod,
    ready,
    running,
    snapshot,
    unschedulable,
    with_condition,
)

SPEC = objects.spec()
FULL = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 none."
ELSEWHERE = (
    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to"
    " deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
)
HEAD = unschedulable("head", FULL)
GREW = "pod triggered scale-up: [{compute 0->2 (max: 5)}]"


def view(seen: Snapshot, last: ClusterView | None = None, **more: Any) -> ClusterView:
    return view_of(seen, SPEC, last, **more)


def waits(seen: Snapshot, **more: Any) -> WaitingView:
    found = view(seen, **more).waiting
    assert found is not None
    return found


def fails(seen: Snapshot, last: ClusterView | None = None) -> Failure:
    found = view(seen, last).failure
    assert found is not None
    return found


def said(reason: str, message: str, **more: Any) -> Snapshot:
    """A head that waits, and what was said of it."""
    told = event(HEAD, reason, message, **{"when": 5, **more})
    scheduler = event(HEAD, "FailedScheduling", FULL, 1, "default-scheduler")
    return snapshot(HEAD, events=(scheduler, told))


# Nodes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "message", "reason"),
    [
        (snapshot(pod("head")), "head: waits for a node of pool compute", None),
        (
            snapshot(HEAD),
            "head: no node of pool compute has room yet (3 Insufficient cpu)",
            Reason.NO_NODE,
        ),
        (
            snapshot(HEAD, now=100),
            "head: no node of pool compute has room, and nobody says to make one"
            " (3 Insufficient cpu)",
            Reason.NO_NODE,
        ),
        (said("TriggeredScaleUp", GREW), "head: pool compute grows 0 → 2", None),
        (
            said("Nominated", "Pod should schedule on: nodeclaim/compute-x7k2p", who="karpenter"),
            "head: pool compute grows by a node (compute-x7k2p)",
            None,
        ),
        (
            said("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached"),
            "head: pool compute is at its maximum, and they are full",
            Reason.POOL_AT_MAX,
        ),
        (
            said(
                "NotTriggerScaleUp",
                "pod didn't trigger scale-up: 1 in backoff after failed scale-up, 2 node(s)"
                " didn't match Pod's node affinity/selector",
            ),
            "head: pool compute could not grow, and is left alone for a while",
            Reason.OUT_OF_STOCK,
        ),
        (
            said(
                "FailedScheduling",
                'all available instance types exceed limits for nodepool: "compute"',
                who="karpenter",
            ),
            "head: pool compute is at its maximum, and they are full",
            Reason.POOL_AT_MAX,
        ),
    ],
)
def test_wait_for_a_node(seen: Snapshot, message: str, reason: Reason | None) -> None:
    found = view(seen)
    assert found.failure is None
    assert found.waiting is not None
    assert (found.waiting.message, found.waiting.reason) == (message, reason)


def test_growing_pool_tells_how_long_that_usually_takes() -> None:
    found = waits(said("TriggeredScaleUp", GREW), usual_growth_s=90)
    assert found.message == "head: pool compute grows 0 → 2; usually takes 1m30s here"
    assert found.grows
    assert found.since == T0 + 5


def test_growth_for_one_pod_is_waited_for_by_the_others() -> None:
    worker = unschedulable("worker-a", FULL)
    seen = snapshot(HEAD, worker, events=(event(HEAD, "TriggeredScaleUp", GREW),))
    assert waits(seen).message == "head, worker-0: pool compute grows 0 → 2"


@pytest.mark.parametrize(
    ("target", "reason"),
    [(5, Reason.POOL_AT_MAX), (1, Reason.OUT_OF_STOCK), (None, Reason.NO_NODE)],
)
def test_words_of_other_pools_are_not_taken_for_this_one(
    target: int | None, reason: Reason
) -> None:
    text = "1 in backoff after failed scale-up, 1 max node group size reached, 1 node selector"
    health = {"maxSize": 5, "cloudProviderTarget": target}
    seen = said("NotTriggerScaleUp", f"pod didn't trigger scale-up: {text}")
    found = view(replace(seen, pool_status={"compute": {"health": health}}))
    assert found.failure is None
    assert found.waiting is not None
    assert found.waiting.reason is reason


def test_growth_for_an_earlier_pod_tells_nothing_of_a_later_one() -> None:
    earlier = event(HEAD, "TriggeredScaleUp", GREW, 3)
    worker = {**unschedulable("worker-a", FULL)}
    worker["metadata"]["creationTimestamp"] = objects.at(8)
    assert waits(snapshot(worker, events=(earlier,))).reason is Reason.NO_NODE


def test_last_word_counts() -> None:
    seen = said("TriggeredScaleUp", GREW)
    refused = event(
        HEAD, "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 in backoff after failed", 9
    )
    assert waits(replace(seen, events=(*seen.events, refused))).reason is Reason.NO_NODE


def test_event_about_an_earlier_pod_of_that_name_is_none_about_this() -> None:
    old = event({**HEAD, "metadata": {**HEAD["metadata"], "uid": "old"}}, "Nominated", "node/x")
    assert waits(snapshot(HEAD)).reason is Reason.NO_NODE
    old["reason"] = "NotTriggerScaleUp"
    assert waits(snapshot(HEAD, events=(old,))).reason is Reason.NO_NODE


def test_autoscalers_status_tells_why_a_pool_does_not_grow() -> None:
    status: dict[str, Any] = {
        "compute": {
            "health": {"maxSize": 5},
            "scaleUp": {
                "status": "Backoff",
                "backoffInfo": {"errorCode": "OUT_OF_RESOURCES", "errorMessage": "none left"},
            },
        }
    }
    seen = replace(said("TriggeredScaleUp", GREW), pool_status=status)
    assert waits(seen).message.endswith("for a while: OUT_OF_RESOURCES: none left")
    full = said(  # a node was ordered, and counts until the cloud has refused it
        "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached"
    )
    assert waits(replace(full, pool_status=status)).reason is Reason.OUT_OF_STOCK
    status["compute"]["scaleUp"] = {"status": "NoActivity"}
    assert "at its maximum of 5 nodes" in waits(replace(full, pool_status=status)).message


@pytest.mark.parametrize(
    ("reason", "message", "who"),
    [
        ("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 Insufficient cpu", ""),
        (
            "NotTriggerScaleUp",
            "pod didn't trigger scale-up: 3 node(s) didn't match Pod's node affinity/selector,"
            " 1 Insufficient cpu",
            "",
        ),
        (
            "FailedScheduling",
            'Failed to schedule pod, incompatible with nodepool "compute", no instance type has'
            " enough resources",
            "karpenter",
        ),
    ],
)
def test_pod_that_can_never_fit_fails_at_once_and_names_what_would(
    reason: str, message: str, who: str
) -> None:
    failure = fails(said(reason, message, who=who))
    assert (failure.step, failure.reason) == (Step.WAIT_FOR_NODES, Reason.TIER_EXCEEDS_POOL)
    tier = "tier medium (2 CPU, 8 GiB, and its pod 0.05 CPU, 48 MiB more)"
    assert f"no node of pool compute can ever hold {tier}" in failure.detail
    assert failure.hint == (
        "--head-tier small (1 CPU, 4 GiB) or --head-tier huge (16 CPU, 64 GiB of another pool)"
    )
    assert failure.in_vain


def test_tier_larger_than_any_node_is_known_before_anybody_says_so() -> None:
    wait = never_fits(SPEC.cluster, Resources(2000, 8 * GI))
    assert wait is not None
    assert wait.message == (
        "tier large asks 4 CPU, 16 GiB; a node of pool compute has 2 CPU, 8 GiB"
    )
    assert wait.hint.startswith("--tier medium (2 CPU, 8 GiB) or")
    assert never_fits(SPEC.cluster, Resources(4000, 16 * GI)) is None
    assert never_fits(SPEC.cluster, None) is None


def test_node_must_also_hold_what_runs_beside_the_head() -> None:
    heads = replace(SPEC.cluster, tier=objects.SMALL, head_tier=objects.HEAD_TIER)
    wait = never_fits(heads, heads.head_tier.resources)
    assert wait is not None
    assert wait.message.startswith("tier medium asks 2 CPU, 8 GiB, and its pod 0.05 CPU, 48 MiB")
    assert wait.hint.startswith("--head-tier small (1 CPU, 4 GiB)")


NOT_OURS = "pod didn't trigger scale-up: 2 node(s) didn't match Pod's node affinity/selector"


def test_pool_of_which_nothing_makes_nodes_fails() -> None:
    head = unschedulable("head", ELSEWHERE)
    told = event(head, "NotTriggerScaleUp", NOT_OURS, 5)
    assert fails(snapshot(head, events=(told,))).reason is Reason.POOL_UNKNOWN


def test_pool_of_fixed_nodes_beside_an_autoscaler_of_others_is_waited_for() -> None:
    found = view(said("NotTriggerScaleUp", NOT_OURS))
    assert found.failure is None
    assert found.waiting is not None
    assert found.waiting.reason is Reason.NO_NODE


def test_pool_without_any_node_and_without_an_autoscaler_fails_in_time() -> None:
    head = unschedulable("head", ELSEWHERE)
    heard = (event(head, "FailedScheduling", ELSEWHERE, 1, "default-scheduler"),)
    early = view(snapshot(head, now=100, events=heard))
    assert early.failure is None
    assert early.waiting is not None
    assert "(1 node(s) didn't match Pod's node affinity/selector)" in early.waiting.message
    assert fails(snapshot(head, now=130, events=heard)).reason is Reason.POOL_UNKNOWN
    assert view(snapshot(head, now=130)).failure is None  # perhaps events may not be read


@pytest.mark.parametrize(
    "nothing", ["pod didn't trigger scale-up: ", "pod didn't trigger scale-up:"]
)
def test_autoscaler_that_knows_no_pool_has_not_answered(nothing: str) -> None:
    head = unschedulable("head", ELSEWHERE)
    heard = event(head, "FailedScheduling", ELSEWHERE, 1, "default-scheduler")
    empty = event(head, "NotTriggerScaleUp", nothing, 5)
    failure = fails(snapshot(head, now=130, events=(heard, empty)))
    assert failure == fails(snapshot(head, now=130, events=(heard,)))


def test_growth_is_measured() -> None:
    head, worker = placed("head", 64), placed("worker-a", 65)
    grew = event(head, "TriggeredScaleUp", GREW, 4)
    found = view(snapshot(head, worker, placed("worker-b", 66), events=(grew,)))
    assert found.growth_s == 60


# Quota ------------------------------------------------------------------------------------------


def refused(message: str, when: float = 2) -> Object:
    failed = condition("ReplicaFailure", True, when, "FailedCreate", message)
    return deployment(2, failed)


OVER = (
    'pods "heron-1-worker-f69f74cbd-zclxd" is forbidden: exceeded quota: team, requested:'
    " requests.cpu={asked}, used: requests.cpu=40m, limited: requests.cpu=50m"
)


def test_used_up_quota_is_waited_for() -> None:
    found = view(snapshot(ready("head"), deployment=refused(OVER.format(asked="30m")), now=500))
    assert found.failure is None
    assert found.waiting is not None
    assert found.waiting.reason is Reason.QUOTA
    assert found.waiting.message == (
        "quota team is used up: 40m of 50m requests.cpu in use, requests.cpu=30m asked"
    )


def test_quota_that_is_too_small_for_one_pod_fails_at_once() -> None:
    failure = fails(snapshot(ready("head"), deployment=refused(OVER.format(asked="2"))))
    assert failure.reason is Reason.QUOTA
    assert failure.detail == "one pod asks quota team for 2 of requests.cpu, and it allows 50m"
    assert failure.in_vain


def test_quota_comes_before_nodes() -> None:
    seen = snapshot(HEAD, deployment=refused(OVER.format(asked="30m")))
    assert waits(seen).reason is Reason.QUOTA


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true',
            Reason.POD_REFUSED,
        ),
        ('pods "x" is forbidden: failed quota: team: must specify limits.cpu', Reason.POD_REFUSED),
        (
            'pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 4Gi',
            Reason.POD_REFUSED,
        ),
        (
            'pods "x" is forbidden: unable to create new content in namespace team because it is'
            " being terminated",
            Reason.NAMESPACE_GONE,
        ),
    ],
)
def test_pods_that_are_not_allowed_fail_at_once(message: str, reason: Reason) -> None:
    assert fails(snapshot(ready("head"), deployment=refused(message))).reason is reason


def test_refusal_that_is_not_known_may_pass() -> None:
    broken = refused('failed calling webhook "policy.x": connection refused')
    assert view(snapshot(ready("head"), deployment=broken, now=100)).failure is None
    failure = fails(snapshot(ready("head"), deployment=broken, now=130))
    assert failure.reason is Reason.LAUNCH_FAILED


def test_refused_head_is_told_in_the_same_words() -> None:
    message = OVER.format(asked="2").replace("worker-f69f74cbd-zclxd", "head")
    error = as_ebb_error(ApiError(403, "Forbidden", message), doing="make the head's pod")
    assert error.reason is Reason.QUOTA
    assert not error.retryable


def test_quota_does_not_end_a_run_that_only_grows() -> None:
    before = view(snapshot(*STANDING))
    found = view(snapshot(*STANDING, deployment=refused(OVER.format(asked="2"))), before)
    assert found.failure is None
    assert found.waiting is not None


# Later ------------------------------------------------------------------------------------------


def test_silent_node_is_told_before_it_is_given_up() -> None:
    """The node controller turns Ready, and leaves what the kubelet said of the containers."""
    silent = with_condition(ready("head"), condition("Ready", False, 100))
    found = view(snapshot(silent, *STANDING[1:]), view(snapshot(*STANDING)))
    assert found.failure is None
    assert found.waiting is not None
    assert found.waiting.message == "head: node node-a does not answer"


def test_nothing_is_waited_for_when_all_is_there() -> None:
    assert view(snapshot(*STANDING)).waiting is None


def test_those_that_wait_are_named_in_one_order_whichever_was_read_first() -> None:
    pods = [unschedulable("worker-a", FULL), unschedulable("driver", FULL), HEAD]
    for seen in (snapshot(*pods), snapshot(*reversed(pods))):
        assert waits(seen).message.startswith("head, program, worker-0: ")


def test_many_that_wait_for_the_same_are_not_all_named() -> None:
    workers = [running(f"worker-{n}", created=n) for n in range(9)]
    spec = objects.spec(min_workers=9)
    found = view_of(snapshot(running("head"), *workers), spec, None)
    assert found.waiting is not None
    assert found.waiting.message == "head: has not answered yet"
    found = view_of(snapshot(ready("head"), *workers), spec, None)
    assert found.waiting is not None
    assert found.waiting.message.startswith("worker-0, worker-1 and 7 more: has not registered")
