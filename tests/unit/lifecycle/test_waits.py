"""What a step waits for, and when it gives up where the platform has nobody who judges that."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from ebbtide.infra.errors import CapacityError, ProvisioningError, ReleaseError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.steps import Attempt
from ebbtide.infra.models.cluster import ClusterView, JobView, WaitingView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.policy.attempts import is_retried
from ebbtide.infra.policy.limits import StartDeadline
from ebbtide.infra.waiting import now_s, pause
from tests.clusters import cluster_spec, run_spec

CLUSTER = ClusterId("heron-1")


SAID = {"supervisor": b"waits\nTraceback (most recent call last):\n  File\nOSError: no\n"}


class Log:
    """One that has ended."""

    def __init__(self, text: bytes):
        self.pieces = [text].__iter__

    def skip(self, _: int) -> int:
        return 0


@pytest.mark.parametrize(
    ("reason", "raised"),
    [(Reason.API_UNREACHABLE, Reason.RELEASE_INCOMPLETE), (Reason.NAMESPACE_GONE, None)],
)
def test_release_that_cannot_be_asked_for_never_begins_a_run_anew(
    reason: Reason, raised: Reason | None
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ProvisioningError(reason)

    stands = attempt(view())
    platform: Any = stands.platform
    platform.claim, platform.release = lambda _: True, refuse
    seen = None
    try:
        steps.tear_down(stands, None)
    except ReleaseError as error:
        seen = error.reason
    assert seen is raised


def test_what_stays_on_a_machine_that_does_not_answer_does_not_hold_up_a_release() -> None:
    stays = HeldResource(cluster=CLUSTER, role="head", name="a", where="pod", age_s=1, stays=True)
    stands = attempt(view())
    platform: Any = stands.platform
    platform.claim, platform.release = lambda _: True, lambda *_, **__: None
    platform.held = lambda _: [stays]
    assert steps.tear_down(stands, None) == []


def test_release_that_something_resists_says_until_when_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "_RELEASE_TIMEOUT_S", 0.05)
    kept = HeldResource(
        cluster=CLUSTER, role="daskcluster", name="a", where="kept", age_s=1, until="until x"
    )
    stands = attempt(view())
    platform: Any = stands.platform
    platform.claim, platform.release = lambda _: True, lambda *_, **__: None
    platform.held = platform.sweep = lambda _: [kept]
    with pytest.raises(ReleaseError) as caught:
        steps.tear_down(stands, None)
    assert caught.value.reason is Reason.RELEASE_INCOMPLETE
    assert (caught.value.detail, caught.value.hint) == ("daskcluster a (kept)", "a stays until x")


def test_time_that_the_platform_takes_for_a_release_is_part_of_what_it_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(steps, "_RELEASE_TIMEOUT_S", 0.2)
    kept = HeldResource(cluster=CLUSTER, role="head", name="a", where="pod", age_s=1)
    stands, asked = attempt(view()), itertools.count()
    platform: Any = stands.platform
    platform.claim, platform.release = lambda _: True, lambda *_, **__: pause(0.25)
    platform.held = lambda _: [kept] if next(asked) >= 0 else []
    platform.sweep = lambda _: []
    assert steps.tear_down(stands, None) == []
    assert next(asked) == 2


def view(**fields: Any) -> ClusterView:
    return ClusterView(cluster=CLUSTER, **fields)


def attempt(*views: ClusterView | None, left_s: float = 60.0) -> Attempt:
    """A cluster that is one of the views after the other, and then stays the last."""
    coming = list(views)

    def watch(*_: object) -> None:
        coming[:] = coming[1:] or coming

    platform: Any = SimpleNamespace(
        reap=lambda _: False,
        observe=lambda _: coming[0],
        watch=watch,
        start_job=lambda _: None,
        logs=lambda _, source: {source: Log(SAID[source])},
    )
    return Attempt(
        platform=platform,
        spec=run_spec("heron", cluster_spec("none")),
        cluster=CLUSTER,
        number=1,
        deadline=StartDeadline(allowed_s=60.0, at_s=now_s() + left_s),
    )


def test_a_step_waits_from_change_to_change_until_it_is_done() -> None:
    ready = view(admitted_at=1.0, head_ready_at=2.0)
    assert steps.start_head(attempt(None, view(), view(admitted_at=1.0), ready)) == ready


def test_what_is_there_is_adopted_however_long_ago_it_was_asked_for() -> None:
    assert steps.wait_for_nodes(attempt(view(admitted_at=1.0), left_s=-3600)).admitted_at == 1.0


@pytest.mark.parametrize(
    "step", [steps.wait_for_nodes, steps.start_head, steps.start_workers, steps.run_user_job]
)
def test_all_steps_before_the_programs_start_share_one_deadline(step: Any) -> None:
    with pytest.raises(CapacityError, match="1m allowed by --start-within") as error:
        step(attempt(view(), left_s=-steps._START_SLACK_S))
    assert error.value.reason is Reason.NOT_IN_TIME


def test_what_was_waited_for_is_said_with_the_deadline() -> None:
    waits = WaitingView(message="pool cpu is out of stock", hint="take another pool")
    with pytest.raises(CapacityError, match="pool cpu is out of stock") as error:
        steps.start_head(attempt(view(waiting=waits), left_s=-steps._START_SLACK_S))
    assert error.value.hint == "take another pool"


def test_the_platform_is_left_time_to_say_so_first() -> None:
    admitted = view(admitted_at=1.0)
    assert steps.wait_for_nodes(attempt(view(), admitted, left_s=-1)) == admitted


def test_a_program_that_has_started_may_run_on() -> None:
    runs_now = view(job=JobView(started_at=1.0))
    ended = view(job=JobView(started_at=1.0, ended_at=2.0, exit_code=0))
    assert steps.run_user_job(attempt(runs_now, ended, left_s=-3600)) == ended


def test_a_run_that_did_not_start_in_its_time_gets_no_second_time() -> None:
    assert not is_retried(CapacityError(Reason.NOT_IN_TIME), RetryPolicy(reasons=("capacity",)))


def test_owner_of_the_cluster_that_died_is_told_by_its_last_error() -> None:
    lost = view(released_at=1.0, released_by="guard", release_reason=Reason.SUPERVISOR_LOST)
    with pytest.raises(ProvisioningError) as error:
        steps.start_head(attempt(lost))
    told = "the cluster was released by its guard; its log says: OSError: no"
    assert (error.value.reason, error.value.detail) == (Reason.SUPERVISOR_LOST, told)
