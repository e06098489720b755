"""What is printed for warm nodes: placeholders of a node's size, which make room for every run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.hardware import NodePool, Taint
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.administration.manifests import manifests
from ebbtide.infra.platforms.kubernetes.administration.warm import PRIORITY
from ebbtide.infra.platforms.kubernetes.naming import PLACEHOLDER

GI = 2**30
POOL = NodePool(
    name="Big_cpu",
    platform="kubernetes",
    capacity=Resources(32_000, 128 * GI),
    node=Resources(8000, 32 * GI),
    max_nodes=4,
    warm=2,
    label_value="big",
    taints=(Taint(key="dedicated", value="ebb", effect="NoSchedule"),),
    images={"*": "usual/{framework}:1", "dask": "r/dask:1", "none": "r/none:1", "flow": "r/flow:1"},
)


def printed(*pools: NodePool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The PriorityClass, and the Deployments."""
    first, *others = yaml.safe_load_all(manifests("warm", pools))
    return first, others


def pod(pool: NodePool) -> dict[str, Any]:
    (deployment,) = printed(pool)[1]
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


def test_its_priority_is_below_all_others_and_not_below_that_for_which_pools_grow() -> None:
    found, _ = printed(POOL)
    assert (found["kind"], found["metadata"]["name"]) == ("PriorityClass", PLACEHOLDER)
    assert found["value"] == PRIORITY == -10
    assert (found["preemptionPolicy"], found["globalDefault"]) == ("Never", False)


def test_each_pool_with_warm_nodes_has_so_many_placeholders_and_others_have_none() -> None:
    cold = replace(POOL, name="cold", warm=0)
    local = replace(POOL, name="here", platform="local", node=None)
    _, deployments = printed(cold, POOL, local)
    (deployment,) = deployments
    assert deployment["metadata"]["name"] == "ebb-warm-big-cpu"
    assert deployment["spec"]["replicas"] == 2
    chosen = deployment["spec"]["selector"]["matchLabels"].items()
    assert chosen <= deployment["spec"]["template"]["metadata"]["labels"].items()


def test_a_placeholder_fills_a_node_of_its_pool_and_leaves_at_once() -> None:
    found = pod(POOL)
    assert found["containers"][0]["resources"] == {
        "requests": {"cpu": "8000m", "memory": str(32 * GI)}
    }
    assert found["nodeSelector"] == POOL.selector
    assert found["tolerations"] == list(POOL.tolerations)
    assert found["priorityClassName"] == PLACEHOLDER
    assert found["terminationGracePeriodSeconds"] == 0


def test_where_only_some_nodes_are_spot_it_keeps_off_them() -> None:
    mixed = pod(replace(POOL, spot_label={"capacity": "spot"}))
    required = mixed["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (term,) = required["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "capacity", "operator": "NotIn", "values": ["spot"]}
    ]
    assert "affinity" not in pod(replace(POOL, spot=True, spot_label={"capacity": "spot"}))


def test_it_holds_the_gpus_of_its_node_too() -> None:
    gpus = replace(POOL, node=Resources(8000, 32 * GI, 2), capacity=Resources(32_000, GI, 8))
    asked = pod(gpus)["containers"][0]["resources"]
    assert asked["requests"]["nvidia.com/gpu"] == asked["limits"]["nvidia.com/gpu"] == "2"


def test_its_node_has_each_image_that_the_pool_names_for_a_framework() -> None:
    assert [each["image"] for each in pod(POOL)["containers"]] == ["r/dask:1", "r/none:1"]
    plain = replace(POOL, images={"*": "usual/{framework}:1"})
    assert [each["image"] for each in pod(plain)["containers"]] == ["usual/none:1"]


def test_where_no_pool_is_to_have_any_it_says_so() -> None:
    with pytest.raises(ConfigurationError) as caught:
        manifests("warm", [replace(POOL, warm=0)])
    (problem,) = caught.value.problems
    assert problem.reason is Reason.CATALOG_INVALID
    assert "warm: 1" in problem.hint
