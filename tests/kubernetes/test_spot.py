"""A worker on a spot node: it drains within the notice, is told as reclaimed, and is replaced.

The lab has one real node: it is a spot node while workers are to get one, and else it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from kubernetes import client

from ebbtide.infra.models.hardware import Taint
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object
from ebbtide.infra.platforms.kubernetes.naming import selector
from ebbtide.infra.platforms.kubernetes.reading.snapshot import condition, placed
from tests.clusters import QUICK
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab.place import NODE

ADDS_UP = """
    import time
    from distributed import Client

    def slow(number):
        time.sleep(0.5)
        return number

    client = Client()
    client.wait_for_workers(1)
    print("begun", flush=True)
    print(sum(client.gather(client.map(slow, range(50)))))
    """
SPOT_LABEL, TAINT = {"ebb.test/spot": "true"}, Taint(key="ebb.test/spot", value="true")
NOTICE_S = 60.0
_NOT_NOW = 429
"""What an eviction is refused with while the budget does not allow it."""
Mark = Callable[..., None]


@pytest.fixture
def is_spot(api: client.ApiClient) -> Iterator[Mark]:
    """Makes the real node a spot node, with a taint or without, or one that stays."""
    core, (label,) = client.CoreV1Api(api), SPOT_LABEL

    def mark(spot: bool, *, tainted: bool = False) -> None:
        others = [taint for taint in core.read_node(NODE).spec.taints or () if taint.key != label]
        taint = {"key": TAINT.key, "value": TAINT.value, "effect": "NoSchedule"}
        change = {
            "metadata": {"labels": {label: SPOT_LABEL[label] if spot else None}},
            "spec": {"taints": [*others, *([taint] if tainted else ())]},
        }
        core.patch_node(NODE, change)

    yield mark
    mark(False)


@pytest.mark.long
def test_worker_of_a_spot_node_that_is_taken_away_is_replaced_and_told(
    stage: Stage, is_spot: Mark
) -> None:
    one = replace(QUICK, max_workers=1)
    spec = stage.runs("spot", ADDS_UP, "dask", retry=RetryPolicy(reasons=()), policy=one)
    tier = replace(spec.cluster.tier, name="cheap", notice_s=NOTICE_S, drain_budget_s=25)
    pool = replace(spec.cluster.pool, spot_label=SPOT_LABEL, spot_taints=(TAINT,))
    flow = Flow(stage, replace(spec, cluster=replace(spec.cluster, tier=tier, pool=pool)))

    def workers() -> list[Object]:
        return stage.api.list(POD, selector(flow.cluster, "worker")).items

    def has_node(pod: str) -> bool:
        found = stage.pod(pod)
        return found is not None and placed(found)

    def refused(pod: str) -> bool:
        found = stage.pod(pod) or {"status": {}}
        return (condition(found, "PodScheduled") or {}).get("status") == "False"

    flow.reaches(lambda: has_node(f"{flow.cluster}-head"), "the head has a node that stays")
    assert not any(map(placed, workers()))
    is_spot(True)
    flow.reaches(lambda: any(map(placed, workers())), "a worker has the spot node")
    flow.reaches(lambda: refused(flow.driver), "the program's pod is kept off it")
    is_spot(False)
    flow.says("begun")
    (first,) = workers()
    assert first["spec"]["terminationGracePeriodSeconds"] == NOTICE_S
    name = first["metadata"]["name"]
    is_spot(True, tainted=True)

    def evicted() -> bool:
        try:
            stage.evict(name)
        except ApiError as error:
            if error.status != _NOT_NOW:
                raise
            return False
        return True

    flow.reaches(evicted, "it is drained from its node")
    ended = flow.ended()
    assert ended.error is None, ended.error
    assert ended.stdout == "begun\n1225\n"
    (told,) = [event for event in ended.events if event.reason is Reason.RECLAIMED]
    assert told.kind is EventKind.WARNING
    assert "worker-0 is reclaimed and is replaced: its spot node is taken away" in told.message
    left = next(event for event in ended.events if event.kind is EventKind.LEFT)
    assert left.message.startswith("worker-0 left")
    assert left.at - told.at < NOTICE_S
    assert stage.left() == []


@pytest.mark.long
def test_head_that_goes_with_its_spot_node_is_followed_by_a_fresh_cluster(stage: Stage) -> None:
    once = RetryPolicy(attempts=1, replacements=1)
    spec = stage.runs("takenaway", ADDS_UP, "dask", retry=once)
    tier = replace(spec.cluster.tier, name="cheap", notice_s=NOTICE_S, drain_budget_s=25)
    cluster = replace(spec.cluster, tier=tier, head_tier=tier)
    flow = Flow(stage, replace(spec, cluster=cluster))
    flow.says("begun")
    stage.evict(f"{flow.cluster}-head")
    ended = flow.ended()
    assert ended.error is None, ended.error
    assert ended.attempts == [Reason.RECLAIMED]
    assert ended.stdout.endswith("begun\n1225\n")
    assert stage.left() == []
