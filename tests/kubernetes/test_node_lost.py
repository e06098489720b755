"""The node under one part of a run is lost: what becomes of the run, and what is left where."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace

import pytest
from kubernetes import client

from ebbtide.flows.cli.main import main
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import ExitCode, Reason, Step
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes.clusters.holdings import held
from ebbtide.infra.platforms.kubernetes.kinds import POD
from ebbtide.infra.platforms.kubernetes.naming import selector
from ebbtide.infra.platforms.kubernetes.reading.snapshot import is_ready
from ebbtide.infra.waiting import now_s, wall_s
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab import faults, images, node
from tests.kubernetes.lab.place import NODE, REAL, SECOND, Lab

ONCE_MORE = RetryPolicy(reasons=("infra",), attempts=2)
TOLD_S = 50
"""Pods tolerate a node that does not answer for 30 s; the rest is the controllers' and ours."""
RELEASED_S = 20


@pytest.fixture(scope="module")
def both_nodes(lab: Lab, api: client.ApiClient, real_pool: NodePool) -> NodePool:
    """A pool of both real nodes, with all images on each."""
    node.start_second(lab, api)
    for image in real_pool.images.values():
        images.copy(lab, image, SECOND)
    return replace(real_pool, label=REAL, label_value="yes")


@pytest.fixture
def pair(stage: Stage, both_nodes: NodePool) -> Stage:
    return replace(stage, pool=both_nodes)


def begun_apart(pair: Stage, api: client.ApiClient, flow: Flow, role: str) -> str:
    """Let the first pod of a role run on the second node, and all else on the first."""
    name = apart(pair, api, flow, role)
    flow.says("begun")
    flow.reaches(lambda: is_ready(pair.pod(name) or {"metadata": {}}), f"the {role} is ready")
    return name


def apart(pair: Stage, api: client.ApiClient, flow: Flow, role: str) -> str:
    """Send the first pod of a role to the second node, and all else to the first."""
    faults.cordon(api, NODE)
    labels = selector(flow.cluster, role)
    flow.reaches(lambda: pair.api.list(POD, labels).items, f"there is a {role}")
    name = str(pair.api.list(POD, labels).items[0]["metadata"]["name"])
    faults.bind(api, pair.api.namespace, name, SECOND)
    faults.uncordon(api, NODE)
    return name


def stays(pair: Stage) -> dict[str, str]:
    """What is left in the namespace, and until when nobody can end it."""
    return {each.name: each.until for each in held(pair.api, None, wall_s())}


def listed(pair: Stage, patch: pytest.MonkeyPatch) -> int:
    """What ``ebb held`` exits with."""
    place = pair.settings
    patch.setenv("EBB_HOME", str(place.home))
    patch.setenv("EBB_NAMESPACE", place.namespace)
    patch.setenv("KUBECONFIG", place.kubeconfig)
    return main(["held"])


def test_run_whose_node_is_lost_is_released_at_once_but_for_the_pod_that_stays_there(
    lab: Lab,
    pair: Stage,
    api: client.ApiClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flow = Flow(pair, pair.counts("stopped", 600))
    driver = begun_apart(pair, api, flow, "driver")
    with faults.lost(lab, api, SECOND):
        wait_until(lambda: node.unreachable(api, SECOND), 30, "the node controller has seen it")
        began_s = now_s()
        stop_run(pair.settings, flow.spec.name, Reason.CANCELLED)
        ended = flow.ended(60)
        took_s = now_s() - began_s
        assert ended.reason is Reason.CANCELLED
        assert stays(pair) == {
            driver: f"until {SECOND.name} is back, deleted, or tainted out-of-service"
        }
        assert [message for message in ended.warnings("stays") if SECOND.name in message]
        assert listed(pair, monkeypatch) == 1
        assert f"{flow.driver}  " in capsys.readouterr().out
    assert took_s < RELEASED_S
    wait_until(lambda: stays(pair) == {}, 60, "its node is back, and ends it")


@pytest.mark.long
@pytest.mark.parametrize(("role", "framework"), [("head", "dask"), ("driver", "none")])
def test_lost_node_is_told_once_and_all_is_released_but_the_pod_that_stays_there(
    lab: Lab, pair: Stage, api: client.ApiClient, role: str, framework: str
) -> None:
    flow = Flow(pair, pair.counts(f"lost-{role}", 600, framework))
    pod = begun_apart(pair, api, flow, role)
    with faults.lost(lab, api, SECOND):
        ended = flow.ended(TOLD_S + RELEASED_S)
        assert ended.reason is Reason.NODE_LOST
        assert ended.error is not None
        assert ended.error.exit_code == ExitCode.INFRASTRUCTURE
        failed = [event for event in ended.events if event.kind is EventKind.STEP_FAILED]
        assert [SECOND.name in str(event.data["detail"]) for event in failed] == [True]
        assert list(stays(pair)) == [pod]
    assert "begun" in ended.stdout
    wait_until(lambda: stays(pair) == {}, 60, "its node is back, and ends it")


@pytest.mark.long
@pytest.mark.parametrize(
    ("role", "framework", "step"),
    [
        ("driver", "none", Step.WAIT_FOR_NODES),
        ("head", "dask", Step.START_HEAD),
        ("head", "dask", Step.START_WORKERS),
        ("head", "dask", Step.ATTACH_AUTOSCALER),
    ],
)
def test_node_that_is_lost_while_the_cluster_starts_ends_the_run(
    lab: Lab, pair: Stage, api: client.ApiClient, role: str, framework: str, step: Step
) -> None:
    spec = pair.counts("early", 600, framework)
    with contextlib.ExitStack() as lost:

        def lose() -> None:
            wait_until(lambda: on_second(pair, spec.name, role), 30, "the pod is on that node")
            lost.enter_context(faults.lost(lab, api, SECOND))

        flow = Flow(pair, spec, {step: lose})
        pod = apart(pair, api, flow, role)
        ended = flow.ended(TOLD_S + RELEASED_S + 30)
        assert ended.reason is Reason.NODE_LOST
        assert SECOND.name in str(ended.error)
        assert set(stays(pair)) <= {pod}
    wait_until(lambda: stays(pair) == {}, 60, "its node is back, and ends it")


def on_second(pair: Stage, run: str, role: str) -> bool:
    """Whether a pod of this role is on the second node."""
    found = pair.api.list(POD, selector(ClusterId(f"{run}-1"), role)).items
    return any(pod["spec"].get("nodeName") == SECOND.name for pod in found)


@pytest.mark.long
def test_no_second_program_begins_while_the_first_may_run_on_a_node_that_does_not_answer(
    lab: Lab, pair: Stage, api: client.ApiClient
) -> None:
    flow = Flow(pair, pair.counts("cut-off", 600, retry=ONCE_MORE))
    begun_apart(pair, api, flow, "driver")
    second = f"{flow.spec.name}-2-driver"
    with faults.lost(lab, api, SECOND, running=True):
        flow.reaches(
            lambda: flow.told("may still run"), "it says that it waits", TOLD_S + RELEASED_S
        )
        threading.Event().wait(10)
        assert pair.pod(second) is None
    flow.reaches(
        lambda: pair.pod(second), "the second attempt begins when the node has ended the first"
    )
    stop_run(pair.settings, flow.spec.name, Reason.CANCELLED)
    ended = flow.ended()
    assert ended.attempts == [Reason.NODE_LOST]
    wait_until(lambda: stays(pair) == {}, 60, "nothing is left")


@pytest.mark.long
def test_worker_on_a_lost_node_is_replaced_and_told(
    lab: Lab, pair: Stage, api: client.ApiClient
) -> None:
    flow = Flow(pair, pair.counts("lost-worker", 90, "dask"))
    pod = begun_apart(pair, api, flow, "worker")
    with faults.lost(lab, api, SECOND):
        ended = flow.ended()
        assert ended.error is None
        assert list(stays(pair)) == [pod]
    assert ended.warnings(SECOND.name)
    wait_until(lambda: stays(pair) == {}, 60, "its node is back, and ends it")
