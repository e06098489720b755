"""A fault that begins when a run comes to one of its seven steps: what becomes of the run."""

from __future__ import annotations

import threading

import pytest

from ebbtide.infra.models.phases import Step
from tests.kubernetes.fault_stage import Ended, Flow, Hook, Stage
from tests.kubernetes.lab import relay as relays
from tests.kubernetes.lab.relay import Fault, Relay

WITH_DASK = (Step.START_HEAD, Step.START_WORKERS, Step.ATTACH_AUTOSCALER)
STEPS = [pytest.param(step, id=f"{number}-{step}") for number, step in enumerate(Step, start=1)]
SHORT_S, MINUTE_S = 12.0, 60.0
FAULTS: dict[str, tuple[Fault, str]] = {
    "busy": (relays.busy(1), ""),
    "conflict": (relays.CONFLICT, "^(PUT|PATCH) "),
    "refused": (relays.UNAUTHORIZED, ""),
    "cut": (relays.CUT, ""),
    "expired": (relays.EXPIRED, relays.WATCHES),
}


def framework_of(step: Step) -> str:
    return "dask" if step in WITH_DASK else "none"


def at(step: Step, begin: Hook, end: Hook, seconds: float = SHORT_S) -> dict[Step, Hook]:
    """A fault from a step's beginning, for a while; ended by a thread of its own."""

    def begins() -> None:
        begin()
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()

    return {step: begins}


def ended_well(ended: Ended) -> None:
    """At the first attempt, and its output is whole."""
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert ended.files == {"kept.txt": "kept"}


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("fault", FAULTS)
def test_answers_that_all_go_wrong_for_a_while_are_waited_for(
    stage: Stage, relay: Relay, fault: str, step: Step
) -> None:
    what, on = FAULTS[fault]

    def begin() -> None:
        relay.strike(what, on)
        relay.cut()

    there = stage.with_kubeconfig(relay.kubeconfig(stage.folder))
    spec = there.counts(fault, 3, framework_of(step), lease_s=30)
    ended_well(Flow(there, spec, at(step, begin, relay.heal)).ended())
    assert stage.left() == []
