"""The lease at its edges: a day, the moment it expires, and what is left of it."""

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


def test_nothing_is_left_at_the_moment_it_lapses() -> None:
    judge = LeaseJudge(10)
    judge.lapsed(1, 100.0)
    assert (judge.left_s(100.0), judge.left_s(110.0), judge.lapsed(1, 110.0)) == (10.0, 0.0, True)


def test_lapsed_lease_that_is_renewed_lives_again() -> None:
    judge = LeaseJudge(10)
    judge.lapsed(1, 0.0)
    assert judge.lapsed(1, 10.0)
    assert not judge.lapsed(2, 11.0)
