"""The rounds of a namespace's reaper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.lifecycle.reaping import rounds
from ebbtide.infra.lifecycle.reaping.rounds import Rounds
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Cluster, LeaseState
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.platforms.kubernetes.administration.rights import REAPER_RIGHTS, rules

DEPLOY = Path(__file__).parents[3] / "infra/platforms/kubernetes/deploy"
HERON_1 = ClusterId("heron-1")
RELEASED = Cluster(
    id=HERON_1,
    run=RunName("heron"),
    attempt=1,
    pool="pool",
    state=LeaseState.RELEASED,
    renewals=0,
    beat_at=0.0,
    lease_s=30.0,
    created=0.0,
)


class Namespace:
    """One as a test says, and what is done to it."""

    def __init__(self) -> None:
        self.expired_now: list[ClusterId] = []
        self.open_now: list[tuple[RunName, Cluster]] = []
        self.leaseless_now: list[ClusterId] = []
        self.swept: list[ClusterId] = []
        self.said: list[str] = []
        self.refused = False
        self.left: list[HeldResource] = []
        self.fails: Exception | None = None
        self.looked = 0

    def expired(self) -> list[ClusterId]:
        return self.expired_now

    def without_lease(self) -> list[ClusterId]:
        return self.leaseless_now

    def left_open(self) -> list[tuple[RunName, Cluster]]:
        self.looked += 1
        if self.fails is not None:
            raise self.fails
        return self.open_now

    def sweep(self, cluster: ClusterId) -> list[Any]:
        self.swept.append(cluster)
        if self.refused:
            raise ProvisioningError(Reason.API_UNREACHABLE, detail="away")
        return self.left


@pytest.fixture
def namespace() -> Namespace:
    return Namespace()


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[RunName]:
    found: list[RunName] = []

    def settle(_store: Any, run: RunName) -> bool:
        found.append(run)
        return True

    monkeypatch.setattr(rounds, "settle", settle)
    monkeypatch.setattr(rounds, "lost_runs", lambda _store: ())
    return found


@pytest.fixture
def reaper(namespace: Namespace, ended: list[RunName]) -> Rounds:
    store: Any = None
    return Rounds(namespace, store, namespace.sweep, lambda: None, namespace.said.append)


def test_cluster_that_nobody_renews_is_released(reaper: Rounds, namespace: Namespace) -> None:
    namespace.expired_now = [HERON_1]
    reaper.look(0)
    assert namespace.said == ["heron-1: nobody renews its Lease; released"]


def test_what_resists_is_tried_again_and_not_at_every_look(
    reaper: Rounds, namespace: Namespace
) -> None:
    namespace.expired_now, namespace.refused = [HERON_1], True
    for now_s in range(8):
        reaper.look(now_s)
    assert namespace.swept == [HERON_1, HERON_1]
    assert namespace.said == [
        f"the Kubernetes API server did not answer: away; tried again in {pause}"
        for pause in ("5.0s", "10s")
    ]


def test_pauses_grow_to_a_minute_and_it_never_gives_up(
    reaper: Rounds, namespace: Namespace
) -> None:
    namespace.expired_now, namespace.refused = [HERON_1], True
    tried = []
    for now_s in range(400):
        before = len(namespace.swept)
        reaper.look(now_s)
        tried += [now_s] * (len(namespace.swept) - before)
    assert tried == [0, 5, 15, 35, 75, 135, 195, 255, 315, 375]
    namespace.refused = False
    reaper.look(435)
    assert namespace.said[-1] == "heron-1: nobody renews its Lease; released"
    namespace.refused = True
    reaper.look(436)
    assert namespace.said[-1].endswith("tried again in 5.0s"), "it begins anew"


def test_what_is_left_is_named_and_tried_again(reaper: Rounds, namespace: Namespace) -> None:
    namespace.expired_now = [HERON_1]
    left = HeldResource(cluster=HERON_1, role="worker", name="w-a", where="node-a", age_s=9.0)
    namespace.left = [left]
    for now_s in range(20):
        reaper.look(now_s)
    said = "heron-1: nobody renews its Lease; left: worker w-a; tried again in"
    assert namespace.said == [f"{said} {pause}" for pause in ("5.0s", "10s", "20s")]


@pytest.mark.parametrize("failure", [KeyError("spec"), ProvisioningError(Reason.API_UNREACHABLE)])
def test_whatever_goes_wrong_in_a_round_the_next_one_comes(
    reaper: Rounds, namespace: Namespace, failure: Exception
) -> None:
    namespace.fails = failure
    looked = []
    for now_s in range(100):
        before = namespace.looked
        reaper.look(now_s)
        looked += [now_s] * (namespace.looked - before)
    assert looked == [0, 5, 15, 35, 75]
    namespace.fails = None
    for now_s in range(135, 156):
        reaper.look(now_s)
    assert namespace.said[-1] == "runs are looked at again"
    assert namespace.looked == 8, "every ten seconds again"


def test_run_whose_cluster_was_taken_away_has_a_lease_to_come_back(
    reaper: Rounds, namespace: Namespace, ended: list[RunName]
) -> None:
    namespace.open_now = [(RunName("heron"), RELEASED)]
    for now_s in (0, 20):
        reaper.look(now_s)
    assert ended == []
    reaper.look(40)
    assert ended == ["heron"]


def test_run_that_cannot_be_ended_keeps_nobody_from_the_others(
    reaper: Rounds, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[RunName] = []

    def settle(_store: Any, run: RunName) -> bool:
        if run == "adder" and len(ended) < 2:
            raise ProvisioningError(Reason.API_UNREACHABLE, detail="away")
        ended.append(run)
        return True

    monkeypatch.setattr(rounds, "settle", settle)
    monkeypatch.setattr(rounds, "lost_runs", lambda _store: ("adder", "lark"))
    namespace.open_now = [(RunName("adder"), RELEASED), (RunName("heron"), RELEASED)]
    for now_s in (0, 40):
        reaper.look(now_s)
    assert ended == ["lark", "heron"]
    for now_s in range(41, 70):
        reaper.look(now_s)
    assert ended.count(RunName("adder")), "it is tried again"


def test_role_grants_what_the_reaper_uses() -> None:
    manifests = list(yaml.safe_load_all((DEPLOY / "reaper.yaml").read_text()))
    (role,) = (each for each in manifests if each["kind"] == "Role")
    assert role["rules"] == rules(namespaced=True, rights=REAPER_RIGHTS)
