"""Whole runs at an API server that is busy, slow, or answers what nobody likes to hear."""

from __future__ import annotations

import pytest

from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab import relay as relays
from tests.kubernetes.lab.relay import Fault, Relay

CHANGES = "^(PUT|PATCH) "
ALL: dict[str, tuple[Fault, str, int]] = {
    "busy": (relays.busy(1), "", 4),
    "conflict": (relays.CONFLICT, CHANGES, 3),
    "lost-answer": (relays.LOST_ANSWER, relays.WRITES, 3),
    "expired": (relays.EXPIRED, relays.WATCHES, 2),
    "expired-later": (relays.EXPIRED_LATER, relays.WATCHES, 2),
    "cut": (relays.CUT, "", 5),
}
"""What, to which requests, and to how many of them: one in so many."""


def whole(stage: Stage, relay: Relay, name: str, framework: str = "none", **more: float) -> None:
    """A run ends well, its output is whole, and nothing is left."""
    there = stage.with_kubeconfig(relay.kubeconfig(stage.folder))
    ended = Flow(there, there.counts(name, 3, framework, **more)).ended()
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert ended.files == {"kept.txt": "kept"}
    assert stage.left() == []


def test_run_comes_right_while_answers_of_all_kinds_go_wrong(stage: Stage, relay: Relay) -> None:
    rules = [relay.strike(fault, on, every=every, times=2) for fault, on, every in ALL.values()]
    whole(stage, relay, "mixed")
    assert [rule.struck for rule in rules] == [2 for _ in ALL]


@pytest.mark.long
@pytest.mark.parametrize("framework", ["none", "dask"])
@pytest.mark.parametrize("fault", ALL)
def test_run_comes_right_while_some_answers_go_wrong(
    stage: Stage, relay: Relay, fault: str, framework: str
) -> None:
    what, on, every = ALL[fault]
    rule = relay.strike(what, on, every=every)
    whole(stage, relay, fault, framework)
    assert rule.struck > 3


@pytest.mark.long
@pytest.mark.parametrize("framework", ["none", "dask"])
def test_slow_api_server_only_takes_longer(stage: Stage, relay: Relay, framework: str) -> None:
    relay.strike(relays.late(1.0))
    whole(stage, relay, "slow", framework, lease_s=30)
