"""How many clusters a run gets, and what its records say of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.lifecycle import attempts, steps
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import PassedOver, RetryPolicy, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.clusters import TIER, cluster_spec, run_spec

TWICE = RetryPolicy(reasons=("infra", "job"), attempts=2, replacements=2)


class Stand:
    """A run whose clusters fail as they are told to, one after another."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch):
        self.settings, self.store = settings, Ledger(settings.home)
        self.spec = run_spec("heron", cluster_spec("none"), retry=TWICE)
        self.tried: list[int] = []
        self.tiers: list[str] = []
        self.failures: list[Reason | None] = []
        runs.begin(self.store, self.spec)
        monkeypatch.setattr(attempts, "_carry_out_one", self._one)
        monkeypatch.setattr(attempts, "wait_until", lambda done, **_: done())

    def carried_out(self, *failures: Reason | None) -> Reason | None:
        """Why the run failed in the end; None: it succeeded."""
        self.failures = list(failures)
        try:
            attempts.carry_out(self.settings, self.store, self.spec, steps)
        except EbbError as error:
            return error.reason
        return None

    def told(self, kind: EventKind) -> list[str]:
        """The messages of one kind."""
        events = self.store.events(self.spec.name)
        return [event.message for event in events if event.kind is kind]

    def _one(
        self, _settings: Settings, _store: Ledger, spec: RunSpec, number: int, _: object
    ) -> None:
        self.tried.append(number)
        self.tiers.append(spec.cluster.tier.name)
        reason = self.failures[len(self.tried) - 1]
        if reason is not None:
            raise error_for(reason, detail="on node a")


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    found = Stand(Settings(home=tmp_path), monkeypatch)
    yield found
    found.store.close()


def test_eviction_uses_up_no_retry_of_the_program(stand: Stand) -> None:
    assert stand.carried_out(Reason.EVICTED, Reason.EXIT_CODE, Reason.EVICTED, None) is None
    assert stand.tried == [1, 2, 3, 4]
    assert stand.told(EventKind.ATTEMPT) == [
        "a pod was evicted from its node; in 1s attempt 1 of 2; not counted: 1 evicted"
        " (replacement 1 of 2)",
        "the program failed; in 1s attempt 2 of 2; not counted: 1 evicted (replacement 1 of 2)",
        "a pod was evicted from its node; in 1s attempt 2 of 2; not counted: 2 evicted"
        " (replacement 2 of 2)",
    ]


def test_program_that_fails_in_its_last_attempt_has_no_other(stand: Stand) -> None:
    assert stand.carried_out(Reason.EVICTED, *2 * [Reason.EXIT_CODE]) is Reason.EXIT_CODE
    assert stand.told(EventKind.WARNING) == [
        "there is no further cluster: attempt 2 of 2 was the last"
    ]


def test_infrastructure_that_fails_for_ever_ends_a_run(stand: Stand) -> None:
    assert stand.carried_out(*9 * [Reason.NODE_LOST]) is Reason.NODE_LOST
    assert stand.tried == [1, 2, 3]
    assert stand.told(EventKind.WARNING) == [
        "there is no further cluster: 2 of 2 replacements are used up"
    ]


def test_flow_process_that_follows_counts_on(stand: Stand) -> None:
    """Its records say what the one before had counted."""
    stand.spec = run_spec("heron", cluster_spec("none"), retry=RetryPolicy(reasons=()))
    for number, reason in enumerate((Reason.EVICTED, Reason.EXIT_CODE, Reason.NODE_LOST), 2):
        failures = attempts._so_far(stand.store, stand.spec)[1].and_(reason)
        attempts._wait_before_next(
            stand.store, stand.spec, number, failures, error_for(reason)
        )  # fmt: skip
    stand.spec = run_spec("heron", cluster_spec("none"), retry=TWICE)
    assert stand.carried_out(Reason.EVICTED) is Reason.EVICTED
    assert stand.tried == [4]


def test_run_that_was_stopped_before_it_had_a_cluster_gets_none(stand: Stand) -> None:
    stand.store.request_stop(stand.spec.name, Reason.STARTER_LOST)
    assert stand.carried_out() is Reason.STARTER_LOST
    assert stand.tried == []


def with_tiers(stand: Stand, *names: str, retry: RetryPolicy = TWICE) -> None:
    """Give the run a list of tiers."""
    first, *others = (cluster_spec("none", tier=replace(TIER, name=name)) for name in names)
    listed = run_spec("egret", first, retry=retry)
    stand.spec = runs.begin(stand.store, replace(listed, next_tiers=tuple(others)))


def test_next_tier_uses_up_neither_an_attempt_nor_a_replacement(stand: Stand) -> None:
    with_tiers(stand, "a", "b", "c")
    ends = (Reason.OUT_OF_STOCK, Reason.QUOTA, Reason.NODE_LOST, Reason.EXIT_CODE, Reason.EVICTED)
    assert stand.carried_out(*ends, None) is None
    assert stand.tried == [1, 2, 3, 4, 5, 6]
    assert stand.tiers == ["a", "b", "c", "c", "c", "c"]
    assert stand.told(EventKind.ATTEMPT) == [
        "tier a: on node a; the next tier is b",
        "tier b: on node a; the next tier is c",
        "a node was lost with what ran on it; in 1s attempt 1 of 2; not counted: 1 node lost"
        " (replacement 1 of 2)",
        "the program failed; in 1s attempt 2 of 2; not counted: 1 node lost (replacement 1 of 2)",
        "a pod was evicted from its node; in 1s attempt 2 of 2; not counted: 1 node lost,"
        " 1 evicted (replacement 2 of 2)",
    ]


def test_run_is_recorded_with_the_tier_that_it_got_and_why_not_another(stand: Stand) -> None:
    with_tiers(stand, "a", "b", "c")
    assert stand.carried_out(Reason.OUT_OF_STOCK, None) is None
    run = stand.store.run(stand.spec.name)
    assert run is not None
    assert (run.attempt, run.spec.cluster.tier.name) == (2, "b")
    assert [each.tier.name for each in run.spec.next_tiers] == ["c"]
    (left,) = run.spec.passed_over
    assert (left.tier, left.reason, left.why) == ("a", Reason.OUT_OF_STOCK, "on node a")


def test_next_tier_is_taken_though_nothing_is_tried_again(stand: Stand) -> None:
    with_tiers(stand, "a", "b", retry=RetryPolicy(reasons=(), replacements=0))
    assert stand.carried_out(Reason.NO_NODE, Reason.OUT_OF_STOCK) is Reason.OUT_OF_STOCK
    assert stand.tiers == ["a", "b"]


def test_flow_process_that_follows_goes_on_with_the_tier_that_was_reached(stand: Stand) -> None:
    with_tiers(stand, "a", "b", "c")
    assert stand.carried_out(Reason.OUT_OF_STOCK, None) is None
    run = stand.store.run(stand.spec.name)
    assert run is not None
    number, failures = attempts._so_far(stand.store, run.spec)
    assert (number, failures.reasons) == (2, ())


def test_run_that_was_stopped_gets_no_other_tier(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_tiers(stand, "a", "b")

    def stopped(*_: object) -> None:
        stand.tried.append(1)
        stand.store.request_stop(stand.spec.name, Reason.CANCELLED)
        raise error_for(Reason.OUT_OF_STOCK)

    monkeypatch.setattr(attempts, "_carry_out_one", stopped)
    assert stand.carried_out() is Reason.OUT_OF_STOCK
    assert stand.tried == [1]


def test_tier_that_can_never_fit_is_told_when_the_run_begins(stand: Stand) -> None:
    left = PassedOver(tier="huge", reason=Reason.TIER_EXCEEDS_POOL, why="huge asks 1 TiB")
    runs.begin(stand.store, replace(run_spec("owl", cluster_spec("none")), passed_over=(left,)))
    (event,) = stand.store.events(RunName("owl"))
    assert (event.kind, event.reason) == (EventKind.WARNING, Reason.TIER_EXCEEDS_POOL)
    assert event.message == "tier huge is passed over: huge asks 1 TiB"
