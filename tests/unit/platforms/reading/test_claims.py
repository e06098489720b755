"""How far a machine of Karpenter's is: conditions and reasons as its version 1.9 writes them."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.reading.nodes.claims import named, progress
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import Object, event, snapshot, unschedulable

HEAD = unschedulable("head", "0/3 nodes are available: 3 Insufficient cpu.")
NAME = "compute-x7k2p"
TEXT = f"Pod should schedule on: nodeclaim/{NAME}"
NOMINATED = event(HEAD, "Nominated", TEXT, 5, "karpenter")
UNKNOWN = "Unknown"


def claim(*done: str, **following: str) -> Object:
    """A claim with these conditions true, and the one after them: type, status, reason, message."""
    conditions = [{"type": kind, "status": "True", "reason": kind} for kind in done]
    return {"metadata": {"name": NAME}, "status": {"conditions": [*conditions, following]}}


def promised(found: Object | None, now: float = 20) -> Snapshot:
    return snapshot(HEAD, now=now, events=(NOMINATED,), node_claims={NAME: found})


LAUNCHED = claim(
    "Launched",
    type="Registered",
    status=UNKNOWN,
    reason="NodeNotFound",
    message="Node not registered with cluster",
)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (claim(), "the cloud has not given its machine yet"),
        (LAUNCHED, "its machine has not joined the cluster yet"),
        (
            claim(
                "Launched",
                "Registered",
                type="Initialized",
                status=UNKNOWN,
                reason="StartupTaintsExist",
                message='StartupTaint "node.cilium.io/agent-not-ready:NoExecute" still exists',
            ),
            "its node is not ready yet: StartupTaint"
            ' "node.cilium.io/agent-not-ready:NoExecute" still exists',
        ),
        (claim("Launched", "Registered", "Initialized"), "its node is ready"),
    ],
)
def test_machine_that_comes_is_told_by_how_far_it_is(found: Object, words: str) -> None:
    view = view_of(promised(found), objects.spec(), None)
    assert view.waiting is not None
    assert view.waiting.message == f"head: pool compute grows by a node ({NAME}): {words}"
    assert (view.waiting.grows, view.waiting.reason, view.failure) == (True, None, None)


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (
            claim(
                type="Launched",
                status=UNKNOWN,
                reason="LaunchFailed",
                message="creating instance, UnauthorizedOperation: not allowed",
            ),
            Reason.NO_NODE,
            "creating instance, UnauthorizedOperation: not allowed",
        ),
        (
            claim(type="Launched", status="False", reason="InsufficientCapacity"),
            Reason.OUT_OF_STOCK,
            "the cloud has not given its machine yet: InsufficientCapacity",
        ),
        (
            claim(
                "Launched",
                type="Registered",
                status="False",
                reason="MultipleNodesFound",
                message="Invariant violated, matched multiple nodes",
            ),
            Reason.NO_NODE,
            "Invariant violated",
        ),
        (None, Reason.OUT_OF_STOCK, "Karpenter has given it up"),
    ],
)
def test_machine_that_does_not_come_is_told_with_its_reason(
    found: Object | None, reason: Reason, words: str
) -> None:
    view = view_of(promised(found), objects.spec(), None)
    assert view.waiting is not None
    assert (view.waiting.reason, view.waiting.grows) == (reason, False)
    assert f"pool compute does not get node {NAME}" in view.waiting.message
    assert words in view.waiting.message
    late = view_of(promised(found, now=605), objects.spec(), None)
    assert late.failure is not None
    assert late.failure.reason is reason


def test_claim_that_may_not_be_read_is_left_out() -> None:
    view = view_of(snapshot(HEAD, events=(NOMINATED,)), objects.spec(), None)
    assert view.waiting is not None
    assert view.waiting.message == f"head: pool compute grows by a node ({NAME})"


def test_claims_are_known_by_what_karpenter_promises() -> None:
    node = event(HEAD, "Nominated", f"{TEXT}, node/ip-10-0-0-7", 6, "karpenter")
    other = event(HEAD, "FailedScheduling", "nodeclaim/none", 6, "karpenter")
    assert named([node, other]) == {NAME}


def test_claim_that_is_being_deleted_has_gone() -> None:
    leaving = {**LAUNCHED, "metadata": {"name": NAME, "deletionTimestamp": objects.at(9)}}
    assert progress(leaving) == progress(None)
