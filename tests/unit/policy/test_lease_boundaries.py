"""The lease at its edges: a day, and the moment it expires."""

from __future__ import annotations

import pytest

from ebbtide.infra.policy.lease import LeaseJudge

DAY_S = 86_400.0


@pytest.mark.parametrize(
    ("asked_s", "agreed_s"), [(DAY_S - 1, DAY_S - 1), (DAY_S, DAY_S), (DAY_S + 1, DAY_S)]
)
def test_lease_of_a_day_is_the_longest(asked_s: float, agreed_s: float) -> None:
    judge = LeaseJudge(10)
    judge.agree(asked_s)
    assert judge.duration_s == agreed_s


def test_it_expires_at_the_moment_its_duration_is_over() -> None:
    judge = LeaseJudge(10)
    judge.expired(1, 100.0)
    assert [judge.expired(1, now_s) for now_s in (109.9, 110.0)] == [False, True]


def test_time_in_which_nothing_was_read_counts_in_part() -> None:
    """As when the API server was away: its holder could not renew it either."""
    judge = LeaseJudge(10, gap=0.5)
    seen = [judge.expired(1, now_s) for now_s in (0.0, 4.0, 64.0, 64.9, 65.0)]
    assert seen == [False, False, False, False, True]


def test_expired_lease_that_is_renewed_lives_again() -> None:
    judge = LeaseJudge(10)
    judge.expired(1, 0.0)
    assert judge.expired(1, 10.0)
    assert not judge.expired(2, 11.0)
