"""Two pure judges of the supervisor: the lease, and the limits of a running program."""

from __future__ import annotations

from ebbtide.infra.models.job import Limits
from ebbtide.infra.policy.lease import LONGEST_S, LeaseJudge
from ebbtide.infra.policy.limits import LimitsWatch, Verdict


def test_renewed_lease_never_lapses() -> None:
    judge = LeaseJudge(10)
    assert not any(judge.expired(renewals, renewals * 9.0) for renewals in range(100))


def test_unchanged_lease_lapses_after_its_duration() -> None:
    judge = LeaseJudge(10)
    assert [judge.expired(7, now_s) for now_s in (100.0, 109.9, 110.0)] == [False, False, True]


def test_lease_counts_from_the_first_read_not_from_any_clock_of_another() -> None:
    judge = LeaseJudge(10)
    assert not judge.expired(3, 1e9)


def test_lease_that_comes_back_in_time_starts_anew() -> None:
    judge = LeaseJudge(10)
    judge.expired(1, 0.0)
    judge.expired(2, 9.0)
    assert [judge.expired(2, now_s) for now_s in (18.0, 18.9, 19.0)] == [False, False, True]


def test_lease_lasts_for_as_long_as_was_agreed_with_the_last_renewal() -> None:
    judge = LeaseJudge(10)
    judge.expired(1, 0.0)
    judge.agree(100)
    assert [judge.expired(1, now_s) for now_s in (99.0, 100.0)] == [False, True]


def test_lease_that_comes_with_a_beat_does_not_count_the_silence_before_it() -> None:
    judge = LeaseJudge(100)
    judge.expired(1, 0.0)
    judge.agree(10)
    assert not judge.expired(2, 50.0)


def test_no_lease_lasts_for_ever() -> None:
    judge = LeaseJudge(10)
    judge.agree(1e9)
    assert judge.duration_s == LONGEST_S


def watch(**limits: object) -> LimitsWatch:
    return LimitsWatch(Limits(**limits))  # type: ignore[arg-type]


def test_time_limit_counts_from_the_programs_start() -> None:
    limits = watch(time_limit_s=60.0)
    assert limits.judge(159.0, 100.0, True, 1.0) is Verdict.GO_ON
    assert limits.judge(160.0, 100.0, True, 1.0) is Verdict.TIME_LIMIT


def test_idle_warns_at_half_and_acts_at_the_end_once_each() -> None:
    limits = watch(idle_release_s=10.0)
    seen = [limits.judge(float(now_s), 0.0, False, 0.0) for now_s in range(0, 13)]
    assert [(i, v) for i, v in enumerate(seen) if v is not Verdict.GO_ON] == [
        (5, Verdict.WARN_IDLE),
        (10, Verdict.IDLE),
    ]


def test_work_on_the_cluster_ends_idleness() -> None:
    limits = watch(idle_release_s=10.0)
    limits.judge(0.0, 0.0, False, 0.0)
    limits.judge(9.0, 0.0, True, 0.0)
    assert limits.judge(11.0, 0.0, False, 0.0) is Verdict.GO_ON


def test_busy_program_beside_an_idle_cluster_is_not_idle() -> None:
    limits = watch(idle_release_s=10.0)
    assert all(limits.judge(float(s), 0.0, False, 0.9) is Verdict.GO_ON for s in range(50))


def test_no_limits_means_go_on_for_ever() -> None:
    limits = watch(idle_release_s=None, time_limit_s=None)
    assert limits.judge(1e9, 0.0, False, 0.0) is Verdict.GO_ON
