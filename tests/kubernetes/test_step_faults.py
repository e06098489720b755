"""A fault that begins when a run comes to one of its seven steps: what becomes of the run."""

from __future__ import annotations

import contextlib
import threading

import pytest
from kubernetes import client

from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import ONCE_MORE, Ended, Flow, Hook, Stage
from tests.kubernetes.lab import faults
from tests.kubernetes.lab import relay as relays
from tests.kubernetes.lab.place import Lab
from tests.kubernetes.lab.relay import Fault, Relay, relayed

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


@pytest.mark.long
@pytest.mark.parametrize("framework", ["none", "dask"])
def test_a_minute_without_the_api_server_is_waited_for_at_every_step(
    lab: Lab, stage: Stage, framework: str
) -> None:
    """Several runs at once, each cut off when it comes to another step."""
    with contextlib.ExitStack() as stack:
        flows = []
        for number, step in enumerate(Step, start=1):
            if framework_of(step) != framework:
                continue
            relay = stack.enter_context(relayed(lab))
            folder = stage.folder / step
            folder.mkdir()
            there = stage.with_kubeconfig(relay.kubeconfig(folder))
            spec = there.counts(f"minute-{number}", 3, framework)
            flows.append(Flow(there, spec, at(step, away(relay), relay.heal, MINUTE_S)))
        ends = [flow.ended(240) for flow in flows]
    for ended in ends:
        ended_well(ended)
    assert stage.left() == []


def away(relay: Relay) -> Hook:
    """Every connection is cut, old and new ones."""

    def cut() -> None:
        relay.strike(relays.CUT)
        relay.cut()

    return cut


@pytest.mark.long
def test_a_minute_without_the_api_server_in_the_middle_of_a_program(lab: Lab, stage: Stage) -> None:
    """It is really gone, for the node and the controllers too."""
    flow = Flow(stage, stage.counts("middle", 110))
    flow.says("begun")
    with faults.killed(lab):
        threading.Event().wait(MINUTE_S)
    ended = flow.ended(240)
    ended_well(ended)
    assert len(ended.warnings("API server")) == 1
    assert stage.left() == []


@pytest.mark.long
def test_what_is_stopped_right_after_a_minute_without_the_api_server_was_cancelled(
    lab: Lab, stage: Stage
) -> None:
    """Its node has not said yet that its program runs, and it ends by a signal."""
    spec = stage.counts("halted", 110)

    def minute() -> None:
        with faults.killed(lab):
            threading.Event().wait(MINUTE_S)
        stop_run(stage.settings, RunName(spec.name), Reason.CANCELLED)

    ended = Flow(stage, spec, {Step.WAIT_FOR_NODES: minute}).ended(300)
    assert (ended.reason, ended.attempts) == (Reason.CANCELLED, []), ended.error
    assert stage.left() == []


@pytest.mark.long
def test_what_is_given_back_right_after_a_minute_without_the_api_server_goes(
    lab: Lab, stage: Stage
) -> None:
    """Nodes and controllers notice later than we do that it is back: they are waited for."""

    def minute() -> None:
        with faults.killed(lab):
            threading.Event().wait(MINUTE_S)

    ended = Flow(stage, stage.counts("noticed", 1), {Step.WAIT_FOR_NODES: minute}).ended(300)
    ended_well(ended)
    assert stage.left() == []


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
def test_deleted_namespace_ends_the_run_at_any_step(
    lab: Lab, stage: Stage, api: client.ApiClient, step: Step
) -> None:
    core, name = client.CoreV1Api(api), f"{stage.api.namespace}-goes"
    core.create_namespace({"metadata": {"name": name}})
    there = Api(Access(kubeconfig=str(lab.kubeconfig), namespace=name))
    homeless = stage.in_namespace(there)
    lasts_s = 3 if step is Step.TEAR_DOWN else 60
    spec = homeless.counts("homeless", lasts_s, framework_of(step), retry=ONCE_MORE)
    ended = Flow(homeless, spec, {step: lambda: core.delete_namespace(name)}).ended()
    assert ended.reason is (None if step is Step.TEAR_DOWN else Reason.NAMESPACE_GONE)
    assert ended.attempts == []
    wait_until(lambda: name not in names(core), 60, "the namespace goes, with all that was in it")
    assert homeless.left() == []
    there.close()


def names(core: client.CoreV1Api) -> list[str]:
    return [each.metadata.name for each in core.list_namespace().items]
