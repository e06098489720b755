"""However a provisioned cluster's block is left: what is released, raised and recorded."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ebbtide.infra.errors import JobError, ReleaseError, error_for
from ebbtide.infra.lifecycle import provision
from ebbtide.infra.lifecycle.provision import Suspension, provisioned
from ebbtide.infra.lifecycle.steps import Attempt
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.policy.limits import StartDeadline
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec

BEFORE_THE_JOB = [step.value for step in Step][:5]


class Suspended(BaseException):
    pass


class Steps:
    """Seven steps that only note that they were taken; ``tear_down`` may fail."""

    def __init__(self, resists: BaseException | None = None):
        self.taken: list[str] = []
        self.reasons: list[Reason | None] = []
        self.ends: list[BaseException | None] = []
        self.orders: list[Reason | None] = []
        self._resists = resists
        self.ours = True

    def __getattr__(self, step: str) -> Any:
        return lambda _attempt: self.taken.append(step)

    def tear_down(self, _attempt: Attempt, reason: Reason | None) -> None:
        self.reasons.append(reason)
        if self._resists is not None:
            raise self._resists

    def cluster(self, suspension: Suspension | None = None) -> Any:
        platform: Any = SimpleNamespace(
            reap=lambda _cluster: False,
            observe=lambda _cluster: None,
            claim=lambda _cluster: self.ours,
            release=lambda _cluster, reason: self.orders.append(reason),
        )
        spec = run_spec("heron", cluster_spec("none"))
        attempt = Attempt(
            platform=platform,
            spec=spec,
            cluster=ClusterId("heron-1"),
            number=1,
            deadline=StartDeadline(allowed_s=60.0, at_s=60.0),
        )
        ended = self.ends.append
        return provisioned(Settings(Path()), attempt, self, suspension=suspension, ended=ended)


@pytest.fixture(autouse=True)
def _no_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provision, "Heartbeat", lambda *_: nullcontext())


def test_five_steps_come_before_the_block_and_the_seventh_after_it() -> None:
    steps = Steps()
    with steps.cluster():
        assert (steps.taken, steps.reasons) == (BEFORE_THE_JOB, [])
    assert (steps.reasons, steps.ends) == ([None], [None])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (JobError(Reason.OUTPUT_INVALID), Reason.OUTPUT_INVALID),
        (KeyboardInterrupt(), Reason.CANCELLED),
        (ValueError(), Reason.CANCELLED),
    ],
)
def test_what_the_block_raises_is_why_it_is_released(error: BaseException, reason: Reason) -> None:
    steps = Steps()
    with pytest.raises(type(error)), steps.cluster():
        raise error
    assert (steps.reasons, steps.ends) == ([reason], [error])


def test_a_release_that_fails_does_not_hide_what_the_block_raised() -> None:
    steps = Steps(ReleaseError(Reason.RELEASE_INCOMPLETE))
    with pytest.raises(KeyError), steps.cluster():
        raise KeyError
    assert isinstance(steps.ends[0], KeyError)


def test_a_release_that_fails_after_a_good_end_is_raised() -> None:
    steps = Steps(ReleaseError(Reason.RELEASE_INCOMPLETE))
    with pytest.raises(ReleaseError), steps.cluster():
        pass
    assert steps.ends == [None]


def test_a_release_that_is_interrupted_is_left_to_the_platform() -> None:
    steps = Steps(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt), steps.cluster():
        pass
    assert (steps.orders, steps.ends) == ([Reason.CANCELLED], [None])


def test_a_cluster_that_another_process_drives_is_left_to_it() -> None:
    steps = Steps(KeyboardInterrupt())
    steps.ours = False
    with pytest.raises(KeyboardInterrupt), steps.cluster():
        pass
    assert steps.orders == []


def test_a_suspended_block_that_keeps_its_cluster_neither_releases_nor_ends() -> None:
    steps = Steps()
    with pytest.raises(Suspended), steps.cluster(Suspension(Suspended, lambda: True)):
        raise Suspended
    assert (steps.reasons, steps.ends) == ([], [])


def test_a_suspended_block_that_keeps_nothing_ends_well() -> None:
    steps = Steps()
    with pytest.raises(Suspended), steps.cluster(Suspension(Suspended, lambda: False)):
        raise Suspended
    assert (steps.reasons, steps.ends) == ([None], [None])


def test_a_suspended_block_whose_keeping_cannot_be_recorded_is_released() -> None:
    def unwritable() -> bool:
        raise error_for(Reason.LEDGER_UNWRITABLE)

    steps = Steps()
    with pytest.raises(Suspended), steps.cluster(Suspension(Suspended, unwritable)):
        raise Suspended
    assert (steps.reasons, steps.ends) == ([None], [None])


def test_another_error_is_no_suspension() -> None:
    steps = Steps()
    with pytest.raises(KeyError), steps.cluster(Suspension(Suspended, lambda: True)):
        raise KeyError
    assert steps.reasons == [Reason.CANCELLED]
