"""When a run goes on with its next tier, and how long it waits for the one before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ebbtide.infra.errors import error_for
from ebbtide.infra.models.job import Limits, PassedOver, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.policy.tiers import REFUSED_S, UNANSWERED_S, next_of, patience_s
from tests.clusters import TIER, cluster_spec, run_spec


def listed(*names: str) -> RunSpec:
    """A run with these tiers."""
    first, *others = (cluster_spec(tier=replace(TIER, name=name)) for name in names)
    limits = Limits(start_within_s=900)
    return replace(run_spec("heron", first, limits=limits), next_tiers=tuple(others))


@pytest.mark.parametrize(
    "reason",
    [
        Reason.OUT_OF_STOCK,
        Reason.QUOTA,
        Reason.POOL_AT_MAX,
        Reason.NO_NODE,
        Reason.TIER_EXCEEDS_POOL,
        Reason.POOL_UNKNOWN,
    ],
)
def test_tier_that_cannot_be_had_is_left_for_the_next_with_the_reason(reason: Reason) -> None:
    first = next_of(listed("a", "b", "c"), error_for(reason, detail="no stock of a"))
    assert first is not None
    assert (first.cluster.tier.name, len(first.next_tiers)) == ("b", 1)
    last = next_of(first, error_for(Reason.QUOTA))
    assert last is not None
    assert (last.cluster.tier.name, last.next_tiers) == ("c", ())
    assert last.passed_over == (
        PassedOver(tier="a", reason=reason, why="no stock of a"),
        PassedOver(tier="b", reason=Reason.QUOTA, why=Reason.QUOTA.info.sentence),
    )
    assert next_of(last, error_for(reason)) is None


@pytest.mark.parametrize(
    "reason",
    [
        Reason.NOT_IN_TIME,
        Reason.NODE_LOST,
        Reason.EXIT_CODE,
        Reason.OUT_OF_MEMORY,
        Reason.CANCELLED,
        Reason.IMAGE_UNUSABLE,
        Reason.HEAD_NOT_READY,
        Reason.QUEUE_FULL,
    ],
)
def test_what_no_other_tier_mends_is_no_cause_for_one(reason: Reason) -> None:
    assert next_of(listed("a", "b"), error_for(reason)) is None


def test_run_waits_less_long_for_a_tier_while_another_is_left() -> None:
    several, last = listed("a", "b", "c"), listed("a")
    for reason in (Reason.OUT_OF_STOCK, Reason.QUOTA, Reason.POOL_AT_MAX):
        assert patience_s(several, reason) == REFUSED_S
        assert patience_s(last, reason) is None
    assert patience_s(several, Reason.NO_NODE) == UNANSWERED_S
    assert patience_s(several, Reason.IMAGE_UNUSABLE) is None
    assert patience_s(several, None) is None


def test_node_on_its_way_may_take_its_share_of_the_time_to_start() -> None:
    assert patience_s(listed("a", "b", "c"), None, grows=True) == 300
    assert patience_s(listed("a", "b"), None, grows=True) == 450
    assert patience_s(listed("a"), None, grows=True) is None
