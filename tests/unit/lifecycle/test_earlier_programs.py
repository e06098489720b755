"""A fresh cluster of a run, and the program on the one before."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.lifecycle import attempts, steps
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import Limits, RetryPolicy, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec

BACK = "until node-a is back"


def held(role: str, cluster: str = "heron-1") -> HeldResource:
    where = "pod on node node-a"
    return HeldResource(
        cluster=ClusterId(cluster),
        role=role,
        name=role,
        where=where,
        age_s=1,
        until=BACK,
        stays=True,
    )


@dataclass
class Platform:
    """Of which this is held: one list after the other, and then always the last."""

    held_then: list[list[HeldResource]]
    asked: list[ClusterId] = field(default_factory=list)

    def cluster_id(self, run: RunName, attempt: int) -> ClusterId:
        return ClusterId(f"{run}-{attempt}")

    def clusters(self, _run: RunName) -> tuple[ClusterId, ...]:
        return ClusterId("heron-1"), ClusterId("heron-2")

    def held(self, cluster: ClusterId) -> list[HeldResource]:
        self.asked.append(cluster)
        found = self.held_then[0]
        self.held_then[:] = self.held_then[1:] or self.held_then
        return found


@dataclass
class Second:
    """The second attempt of a run, as a flow process comes to it."""

    settings: Settings
    store: Ledger
    spec: RunSpec
    begun: list[int] = field(default_factory=list)

    def comes(self) -> None:
        attempts.carry_out(self.settings, self.store, self.spec, steps)

    def warnings(self) -> list[str]:
        events = self.store.events(self.spec.name)
        return [event.message for event in events if event.kind is EventKind.WARNING]


@pytest.fixture
def second(ebb_home: Path, monkeypatch: pytest.MonkeyPatch) -> Second:
    limits, retry = Limits(start_within_s=0.05), RetryPolicy(reasons=("infra",), attempts=2)
    spec = run_spec("heron", cluster_spec("none"), limits=limits, retry=retry)
    made = Second(Settings(home=ebb_home), Ledger(ebb_home), spec)
    runs.begin(made.store, spec)
    made.store.set_attempt(spec.name, 2)
    monkeypatch.setattr(attempts, "_LOOK_S", 0.01)
    monkeypatch.setattr(attempts, "_carry_out_one", lambda *words: made.begun.append(int(words[3])))
    return made


def on(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "load_platform", lambda *_: platform)


def test_it_begins_when_the_program_before_has_ended_and_says_what_it_waits_for(
    second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform([[held("driver")], [held("driver")], []])
    on(platform, monkeypatch)
    second.comes()
    assert second.begun == [2]
    assert set(platform.asked) == {"heron-1"}, "its own program is none of an earlier attempt"
    (told,) = second.warnings()
    assert "cluster 2 waits" in told
    assert BACK in told


def test_it_does_not_begin_while_the_program_before_may_run(
    second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(Platform([[held("driver")]]), monkeypatch)
    with pytest.raises(ProvisioningError) as lost:
        second.comes()
    assert lost.value.reason is Reason.NODE_LOST
    assert second.begun == []


def test_what_is_no_program_is_not_waited_for(
    second: Second, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(Platform([[held("head"), held("worker")]]), monkeypatch)
    second.comes()
    assert (second.begun, second.warnings()) == ([2], [])
