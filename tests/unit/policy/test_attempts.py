"""When another try is in vain: worked cases."""

from __future__ import annotations

import pytest

from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.policy.attempts import EarlyDeaths, failed_alike

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
    ],
)
def test_attempts_fail_alike_for_one_reason_in_one_way_that_does_not_heal(
    before: EbbError | None, error: EbbError, alike: bool
) -> None:
    assert failed_alike(before, error) is alike
