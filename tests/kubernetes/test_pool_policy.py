"""The pool controller's decisions, without a Kubernetes: who grows, who goes, what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import yaml

from tests.kubernetes.lab.pools import fit, grow, shrink, values, words
from tests.kubernetes.lab.pools.cloud import Cloud
from tests.kubernetes.lab.pools.grow import Growth
from tests.kubernetes.lab.pools.shrink import Past
from tests.kubernetes.lab.pools.values import DISABLED, DOMINO_5, NO_BOOT, SAFE, Node, Pod, Pool

SMALL, LARGE = Pool("small", cores=4, memory_gib=16, most=3), Pool("large", cores=16, memory_gib=64)
LATER = 1000.0
_NOTHING = Past()


def pod(cpu: float = 1, **more: Any) -> Pod:
    """A movable pod, as of a Deployment."""
    asks = {"cpu": Decimal(cpu), "memory": Decimal(2**30), "pods": Decimal(1)}
    return replace(Pod("work", "here", requests=asks, owner="ReplicaSet"), **more)


def on_pool(name: str, cpu: float = 1) -> Pod:
    return pod(cpu, selector={values.POOL_LABEL: name})


def node(name: str = "a", pool: Pool = SMALL, **more: Any) -> Node:
    made = Node(name, pool.name, pool.allocatable(), pool.labels())
    return replace(made, **more)


def decide(waiting: Sequence[Pod], *pools: Pool, **more: Any) -> grow.Plan:
    return grow.plan(waiting, pools, more.get("targets", {}), more.get("backoffs", {}))


# Growing --------------------------------------------------------------------------------------


def test_pool_grows_by_as_many_nodes_as_the_pods_fill() -> None:
    growth = decide([on_pool("small", 3)] * 2, SMALL).growth
    assert growth is not None
    assert (growth.by, growth.target, len(growth.pods)) == (2, 2, 2)


def test_growth_ends_at_the_maximum() -> None:
    growth = decide([on_pool("small", 3)] * 9, SMALL, targets={"small": 1}).growth
    assert growth is not None
    assert (growth.by, growth.target, len(growth.pods)) == (2, 3, 2)


def test_pool_that_wastes_least_is_taken() -> None:
    growth = decide([pod(3)], LARGE, SMALL).growth
    assert growth is not None
    assert growth.pool == SMALL


@pytest.mark.parametrize(
    ("wants", "targets", "said"),
    [
        (on_pool("small"), {"small": 3}, "1 max node group size reached"),
        (on_pool("small", 9), {}, "1 Insufficient cpu"),
        (on_pool("none"), {}, f"1 {fit.ELSEWHERE}"),
    ],
)
def test_pod_that_no_pool_helps_is_told_why(wants: Pod, targets: Any, said: str) -> None:
    ((_, reasons),) = decide([wants], SMALL, targets=targets).refused
    assert words.not_triggered(reasons) == f"pod didn't trigger scale-up: {said}"


def test_reasons_are_counted_over_the_pools() -> None:
    ((_, reasons),) = decide([on_pool("none")], SMALL, LARGE).refused
    assert reasons == {fit.ELSEWHERE: 2}


def test_tainted_pool_is_for_pods_that_tolerate_it() -> None:
    pool = replace(SMALL, tainted=True)
    ((_, reasons),) = decide([on_pool("small")], pool).refused
    assert list(reasons) == [f"node(s) had untolerated taint {{{values.POOL_LABEL}: small}}"]
    same = {"key": values.POOL_LABEL, "operator": "Exists"}
    assert decide([replace(on_pool("small"), tolerations=(same,))], pool).growth is not None


def test_required_affinity_selects_like_a_node_selector() -> None:
    wanted = {"key": values.POOL_LABEL, "operator": "In", "values": ["large"]}
    growth = decide([pod(terms=({"matchExpressions": [wanted]},))], SMALL, LARGE).growth
    assert growth is not None
    assert growth.pool == LARGE


def test_nothing_is_said_of_others_while_one_pool_grows() -> None:
    assert decide([on_pool("small"), on_pool("none")], SMALL).refused == ()


def test_pod_that_fits_a_node_that_boots_needs_no_other() -> None:
    waiting, placed = grow.place([pod(3), pod(3)], [fit.template(SMALL)])
    assert (len(waiting), len(placed)) == (1, 1)


def test_each_failure_pauses_a_pool_for_twice_as_long() -> None:
    pauses, backoff = [], None
    for _ in range(5):
        backoff = grow.back_off(backoff, DOMINO_5, 0, "QUOTA_EXCEEDED", "")
        pauses.append(backoff.pause_s)
    assert pauses == [300, 600, 1200, 1800, 1800]


# The cloud ------------------------------------------------------------------------------------


def test_machine_registers_half_way_and_is_ready_at_the_end_of_its_boot() -> None:
    cloud = Cloud()
    (machine,) = cloud.order(replace(SMALL, boot_s=10), 1, now=0)
    assert (cloud.registering(4), cloud.registering(5)) == ([], [machine])
    machine.registered = True
    assert (cloud.booted(9), cloud.booted(10)) == ([], [machine])


def test_refused_machines_never_register() -> None:
    cloud = Cloud()
    made = cloud.order(replace(SMALL, fault="OUT_OF_RESOURCES"), 2, now=0)
    assert (cloud.refused("small"), cloud.registering(LATER)) == (made, [])


def test_machine_that_does_not_boot_is_late_after_the_time_to_provision() -> None:
    cloud = Cloud()
    made = cloud.order(replace(SMALL, fault=NO_BOOT), 1, now=0)
    assert (cloud.late("small", 900, 900), cloud.late("small", 900, 901)) == ([], made)


# Shrinking ------------------------------------------------------------------------------------


def is_unneeded(*pods: Pod, **more: Any) -> bool:
    """Whether node ``a`` is, with an empty neighbour of another pool beside it."""
    beside = node("b", LARGE)
    return "a" in shrink.unneeded([node("a", **more), beside], {"a": pods}, DOMINO_5)


def test_node_under_half_of_its_requests_is_unneeded() -> None:
    assert is_unneeded(pod(1.9))
    assert not is_unneeded(pod(2))


def test_node_whose_pods_fit_nowhere_else_is_needed() -> None:
    assert not is_unneeded(on_pool("small"))


def test_node_that_is_not_to_be_scaled_down_is_needed() -> None:
    assert not is_unneeded(annotations={DISABLED: "true"})


@pytest.mark.parametrize(
    "change",
    [
        {"owner": ""},
        {"owner": "RayCluster"},
        {"annotations": {SAFE: "false"}},
        {"local_data": True},
        {"guarded": True},
        {"space": "kube-system"},
    ],
    ids=str,
)
def test_pod_that_may_not_be_moved_keeps_its_node(change: dict[str, Any]) -> None:
    assert not is_unneeded(pod(**change))


@pytest.mark.parametrize("change", [{"owner": ""}, {"local_data": True}], ids=str)
def test_pod_that_says_it_is_safe_to_evict_may_be_moved(change: dict[str, Any]) -> None:
    assert is_unneeded(pod(annotations={SAFE: "true"}, **change))


def test_pods_of_the_node_itself_do_not_keep_it() -> None:
    assert is_unneeded(pod(owner="DaemonSet"))


def test_two_half_empty_nodes_do_not_both_count_on_the_other() -> None:
    pods = {"a": [on_pool("small", 1.5)], "b": [on_pool("small", 1.5)]}
    assert shrink.unneeded([node("a"), node("b")], pods, DOMINO_5) == ["a"]


def goes(now: float, *nodes: Node, past: Past = _NOTHING, least: int = 0) -> list[Node]:
    since = dict.fromkeys((each.name for each in nodes), 0.0)
    return shrink.due(nodes, since, [replace(SMALL, least=least)], DOMINO_5, past, now)


def test_node_goes_after_ten_minutes_unneeded() -> None:
    assert (goes(599, node()), goes(600, node())) == ([], [node()])


def test_node_that_was_needed_in_between_begins_anew() -> None:
    kept = shrink.since({"a": 0}, ["a", "b"], 100)
    assert kept == {"a": 0, "b": 100}
    assert shrink.since(shrink.since(kept, [], 200), ["a"], 300) == {"a": 300}


def test_no_node_goes_for_ten_minutes_after_a_growth() -> None:
    assert goes(LATER, node(), past=Past(grew_at=LATER - 599)) == []
    assert goes(LATER, node(), past=Past(grew_at=LATER - 600)) == [node()]


def test_pool_keeps_its_minimum() -> None:
    assert goes(LATER, node("a"), node("b"), least=1) == [node("a")]


def test_unready_node_goes_after_twenty_minutes() -> None:
    lost = node(ready=False)
    assert (goes(1199, lost), goes(1200, lost)) == ([], [lost])


def test_ten_nodes_go_at_once_and_no_more() -> None:
    nodes = [node(f"n{number}") for number in range(12)]
    leaving = node("l", taints=({"key": values.DELETION, "effect": "NoSchedule"},))
    assert len(goes(LATER, *nodes)) == 10
    assert len(goes(LATER, leaving, *nodes)) == 9


def test_unready_node_is_unneeded_however_full_it_is() -> None:
    assert is_unneeded(pod(3), ready=False)


def test_occupied_nodes_go_one_after_another_and_empty_ones_together() -> None:
    nodes = [node(name) for name in "abcd"]
    names = [each.name for each in shrink.one_drain(nodes, {"b", "c"}, draining=False)]
    assert names == ["a", "b", "d"]
    assert [n.name for n in shrink.one_drain(nodes, {"b", "c"}, draining=True)] == ["a", "d"]


# Words ----------------------------------------------------------------------------------------


def test_growth_is_said_with_its_sizes() -> None:
    said = words.triggered(Growth(SMALL, target=3, by=2, pods=()))
    assert said == "pod triggered scale-up: [{small 1->3 (max: 3)}]"


def group(**more: Any) -> words.Group:
    made = words.Group(
        SMALL, target=2, registered=1, ready=1, starting=0, candidates=0, backoff=None
    )
    return replace(made, **more)


def test_status_has_the_shape_of_cluster_autoscaler() -> None:
    found = yaml.safe_load(words.status([group(candidates=1)], now=0))
    (pool,) = found["nodeGroups"]
    assert found["autoscalerStatus"] == "Running"
    assert found["clusterWide"]["scaleUp"]["status"] == "InProgress"
    assert pool["health"]["cloudProviderTarget"] == 2
    assert (pool["health"]["minSize"], pool["health"]["maxSize"]) == (0, 3)
    assert pool["health"]["nodeCounts"]["registered"]["ready"] == 1
    assert (pool["scaleUp"]["status"], pool["scaleDown"]["candidates"]) == ("InProgress", 1)


def test_status_tells_the_error_of_a_pool_that_is_left_alone() -> None:
    backoff = grow.back_off(None, DOMINO_5, 0, "OUT_OF_RESOURCES", "none left")
    (pool,) = yaml.safe_load(words.status([group(backoff=backoff)], now=0))["nodeGroups"]
    info = {"errorCode": "OUT_OF_RESOURCES", "errorMessage": "none left"}
    assert (pool["scaleUp"]["status"], pool["scaleUp"]["backoffInfo"]) == ("Backoff", info)


def test_status_keeps_since_when_things_are_so() -> None:
    first = words.status([group()], now=0)
    same = yaml.safe_load(words.status([group()], 60, first))["nodeGroups"][0]
    other = yaml.safe_load(words.status([group(target=1)], 60, first))["nodeGroups"][0]
    assert same["scaleUp"]["lastTransitionTime"] == "1970-01-01T00:00:00Z"
    assert other["scaleUp"]["lastTransitionTime"] == "1970-01-01T00:01:00Z"
