"""When another try is in vain: worked cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.policy.attempts import EarlyDeaths, Failures, failed_alike, is_retried

MISSING = "ImportError: no module named numpy"
HEALS = "Exception: The current node timed out during startup"


def after(*said: str) -> EarlyDeaths:
    deaths = EarlyDeaths()
    for number, line in enumerate(said):
        deaths.add(f"worker-{number} exited with 1; its log says: {line}", line)
    return deaths


@pytest.mark.parametrize(
    ("said", "too_many", "in_vain"),
    [
        ([], False, False),
        ([MISSING], False, False),
        ([MISSING, MISSING], True, True),
        ([MISSING, HEALS], False, False),
        (["", ""], False, False),
        ([HEALS, HEALS], False, False),
        (["RPC: details = failed to connect to all addresses"] * 2, False, False),
        ([HEALS, HEALS, HEALS], True, False),
        ([HEALS, MISSING, MISSING], True, True),
        (["OSError: pid 7 has no library", "OSError: pid 812 has no library"], True, True),
    ],
)
def test_start_that_fails_twice_in_the_same_way_is_not_tried_a_third_time(
    said: list[str], too_many: bool, in_vain: bool
) -> None:
    deaths = after(*said)
    assert (deaths.too_many, deaths.in_vain) == (too_many, in_vain)


def test_failure_of_a_start_is_told_by_its_last_death() -> None:
    told = f"worker-1 exited with 1; its log says: {MISSING}"
    assert after(HEALS, MISSING).sentence == told
    assert after(MISSING, MISSING).sentence == f"{told}; twice in the same way, so it is not" + (
        " tried again"
    )


def test_step_that_is_tried_again_counts_anew() -> None:
    deaths = after(MISSING, MISSING)
    deaths.forget()
    assert not deaths.too_many


def failure(reason: Reason, detail: str) -> EbbError:
    return error_for(reason, detail=detail)


JOINED, HEAD = Reason.WORKERS_NOT_JOINED, Reason.HEAD_NOT_READY


@pytest.mark.parametrize(
    ("before", "error", "alike"),
    [
        (None, failure(JOINED, MISSING), False),
        (failure(JOINED, MISSING), failure(JOINED, MISSING), True),
        (failure(JOINED, MISSING), failure(JOINED, "OSError: no"), False),
        (failure(HEAD, MISSING), failure(JOINED, MISSING), False),
        (failure(JOINED, HEALS), failure(JOINED, HEALS), False),
        (failure(Reason.EXIT_CODE, MISSING), failure(Reason.EXIT_CODE, MISSING), False),
        (failure(JOINED, ""), failure(JOINED, ""), False),
        (failure(Reason.EVICTED, "from a"), failure(Reason.EVICTED, "from a"), False),
    ],
)
def test_attempts_fail_alike_for_one_reason_in_one_way_that_does_not_heal(
    before: EbbError | None, error: EbbError, alike: bool
) -> None:
    assert bool(failed_alike(before, error)) is alike


RETRIED = [each for each in Reason if is_retried(error_for(each), RetryPolicy(
    reasons=("capacity", "infra", "job")
))]  # fmt: skip
OWN = [reason for reason in RETRIED if reason.family == "job"]


@given(st.lists(st.sampled_from(RETRIED)), st.integers(1, 10), st.integers(0, 10))
def test_neither_bound_uses_up_the_other_and_both_together_end_a_run(
    reasons: list[Reason], attempts: int, replacements: int
) -> None:
    policy, failures = RetryPolicy(attempts=attempts, replacements=replacements), Failures()
    for reason in reasons:
        own = sum(each in OWN for each in failures.reasons)
        used, bound = (own + 1, attempts) if reason in OWN else (
            len(failures.reasons) - own, replacements
        )  # fmt: skip
        spent = bool(failures.spent(error_for(reason), policy))
        assert spent is (used >= bound)
        if not spent:
            failures = failures.and_(reason)
    assert len(failures.reasons) <= attempts - 1 + replacements


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        ((Reason.EXIT_CODE,), "attempt 2 of 2"),
        ((Reason.NODE_LOST,), "attempt 1 of 2; not counted: 1 node lost (replacement 1 of 3)"),
        (
            (Reason.EVICTED, Reason.EXIT_CODE, Reason.API_UNREACHABLE, Reason.EVICTED),
            "attempt 2 of 2; not counted: 2 evicted, 1 API unreachable (replacement 3 of 3)",
        ),
    ],
)
def test_which_attempt_follows_is_told_with_what_was_not_counted(
    reasons: tuple[Reason, ...], told: str
) -> None:
    assert Failures(reasons).told(RetryPolicy(attempts=2, replacements=3)) == told


@pytest.mark.parametrize("reason", [Reason.CANCELLED, Reason.NOT_IN_TIME, Reason.TIER_UNKNOWN])
def test_what_no_fresh_cluster_can_help_is_not_retried(reason: Reason) -> None:
    assert not is_retried(error_for(reason), RetryPolicy(reasons=("capacity", "infra", "job")))
