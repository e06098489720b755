"""The nodes of pools: what ours and other pods ask of them, and what cannot be looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebbtide.infra.models.hardware import Machines, NodePool, OtherPods
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import FORBIDDEN, ApiError
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import EVERY_POD, NODE, POD, Kind
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, PLACEHOLDER, PROGRAM, ROLE, RUN
from ebbtide.infra.platforms.kubernetes.nodes import machines_of
from ebbtide.infra.platforms.kubernetes.reading.nodes.requests import requested

MI = 2**20
ONE = Resources(2000, 2**30)
POOL = NodePool(name="far", platform="kubernetes", capacity=Resources(80_000, 2**40), node=ONE)
GPU = POOL.gpu_resource
NO_METRICS = ApiError(503, "ServiceUnavailable", "no answer")


class FakeApi:
    """Has lists of objects of namespace ``mine``; some of them may not be listed."""

    namespace = "mine"

    def __init__(
        self, objects: Mapping[Kind, list[dict[str, Any]]], *, load: Any = NO_METRICS, no: Any = ()
    ):
        self._objects, self._load, self._no = objects, load, no

    def list(self, kind: Kind, labels: object = None, fields: str = "") -> SimpleNamespace:
        assert labels == (POOL.selector if kind is NODE else None)
        if kind in self._no:
            raise ApiError(FORBIDDEN, "Forbidden", f"{kind.plural} is forbidden")
        assert fields == ("" if kind is NODE else "status.phase!=Succeeded,status.phase!=Failed")
        items = self._objects[EVERY_POD if kind is POD else kind]
        if kind is POD:
            items = [each for each in items if each["metadata"]["namespace"] == self.namespace]
        return SimpleNamespace(items=items)

    def ask(self, request: Request, *, patience_s: float) -> Any:
        assert (request.path, patience_s) == ("/apis/metrics.k8s.io/v1beta1/nodes", 0)
        if isinstance(self._load, ApiError):
            raise self._load
        return {"items": self._load}


def node(name: str = "n1", **labels: str) -> dict[str, Any]:
    ready = [{"type": "Ready", "status": "True"}]
    offers = {"cpu": "3920m", "memory": "1024Mi", GPU: "4"}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {"allocatable": offers, "conditions": ready},
    }


def asks(cpu: str, memory: str = "0", **more: Any) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}


def pod(name: str, role: str = "", *, at: str = "n1", **more: Any) -> dict[str, Any]:
    """One of ours where it has a role."""
    labels = {RUN: "heron", CLUSTER: "heron-1", ROLE: role} if role else {}
    meta = {"name": name, "namespace": "mine", "labels": labels}
    spec = {"nodeName": at, "nodeSelector": POOL.selector if role else {}, "containers": []}
    containers = more.pop("containers", [asks("500m", "128Mi")])
    meta |= more.pop("metadata", {})
    return {"metadata": meta, "spec": {**spec, "containers": containers, **more}}


def daemon(name: str) -> dict[str, Any]:
    of = {"namespace": "kube-system", "ownerReferences": [{"kind": "DaemonSet"}]}
    return pod(name, metadata=of, containers=[asks("100m")])


def look(*pods: dict[str, Any], nodes: Any = (), **how: Any) -> Machines:
    api = FakeApi({EVERY_POD: list(pods), NODE: list(nodes) or [node()]}, **how)
    return machines_of(cast(Api, api), [POOL])


def test_container_without_requests_asks_for_nothing() -> None:
    containers = [asks("1500m", "512Mi"), {"resources": {}}, {}, asks("100m")]
    (found,) = look(pod("heron-1-head", "head", containers=containers)).nodes["far"]
    assert found.capacity == Resources(3920, 1024 * MI, 4)
    assert found.used == Resources(1600, 512 * MI)


def test_pods_that_are_not_ours_are_counted_and_what_they_ask_for_is_not_free() -> None:
    stranger = pod("web", metadata={"namespace": "shop"}, containers=[asks("1", "256Mi")])
    (found,) = look(
        pod("heron-1-head", "head"), stranger, daemon("proxy"), pod("job-of-mine")
    ).nodes["far"]
    assert found.used == Resources(500, 128 * MI)
    assert found.others == OtherPods(
        count=3,
        requested=Resources(1600, 384 * MI),
        daemons=1,
        of_daemons=Resources(100, 0),
    )
    assert found.requested == Resources(2100, 512 * MI)
    assert found.free == Resources(3920 - 2100, 512 * MI, 4)


def test_a_run_of_another_namespace_is_not_ours() -> None:
    theirs = pod("heron-1-head", "head", metadata={"namespace": "theirs"})
    machines = look(theirs)
    assert machines.pods == ()
    assert machines.nodes["far"][0].used == NOTHING


def test_types_are_read_from_the_nodes_labels() -> None:
    labels = {"node.kubernetes.io/instance-type": "g4dn.xlarge", POOL.gpu_label: "Tesla-T4"}
    (found,) = look(nodes=[node(**labels)]).nodes["far"]
    assert (found.instance_type, found.gpu_type) == ("g4dn.xlarge", "Tesla-T4")
    (bare,) = look().nodes["far"]
    assert (bare.instance_type, bare.gpu_type) == ("", "")


def test_pod_that_keeps_a_node_warm_takes_nothing_of_it() -> None:
    whole = pod("warm", containers=[asks("3920m", "1024Mi")], priorityClassName=PLACEHOLDER)
    (found,) = look(whole).nodes["far"]
    assert found.others == OtherPods(count=1)
    assert found.free == found.capacity


@pytest.mark.parametrize(
    ("spot", "label", "is_spot"),
    [
        (False, {}, False),
        (True, {}, True),
        (False, {"kind": "spot"}, True),
        (False, {"kind": "b"}, False),
    ],
)
def test_node_is_spot_by_its_pool_or_its_label(
    spot: bool, label: dict[str, str], is_spot: bool
) -> None:
    pool = replace(POOL, spot=spot, spot_label=label)
    api = FakeApi({EVERY_POD: [], NODE: [node(kind="spot")]})
    (found,) = machines_of(cast(Api, api), [pool]).nodes["far"]
    assert found.spot == is_spot


def test_load_is_what_the_metrics_api_has_measured() -> None:
    usage = {"cpu": "1500000000n", "memory": "524288Ki"}
    machines = look(load=[{"metadata": {"name": "n1"}, "usage": usage}])
    assert machines.nodes["far"][0].load == Resources(1500, 512 * MI)
    assert machines.not_shown == ()


@pytest.mark.parametrize(
    ("load", "why"), [(NO_METRICS, "gives no figures: no answer"), ([], "has no figures of any")]
)
def test_without_figures_it_is_said_and_the_rest_is_there(load: Any, why: str) -> None:
    machines = look(pod("heron-1-head", "head"), load=load)
    (found,) = machines.nodes["far"]
    assert (found.load, found.used.cpu_millis) == (None, 500)
    (said,) = machines.not_shown
    assert said.startswith("the load of nodes: ")
    assert why in said


def test_whoever_may_not_list_nodes_sees_those_with_pods_of_ours_and_is_told() -> None:
    pods = (pod("heron-1-head", "head"), pod("web", at="n9"), pod("wait", "worker", at=""))
    machines = look(*pods, no=(NODE,))
    (found,) = machines.nodes["far"]
    assert (found.name, found.seen, found.capacity, found.others) == ("n1", False, ONE, None)
    assert found.used == Resources(500, 128 * MI)
    assert (found.requested, machines.listed, look().listed) == (None, False, True)
    assert machines.not_shown[0].startswith("nodes may not be listed: only those with pods of ours")


def test_whoever_may_list_pods_of_one_namespace_only_is_told_what_is_not_counted() -> None:
    stranger = pod("web", metadata={"namespace": "shop"})
    machines = look(pod("heron-1-head", "head"), stranger, pod("mine"), no=(EVERY_POD,), load=[])
    (found,) = machines.nodes["far"]
    assert found.others == OtherPods(count=1, requested=Resources(500, 128 * MI))
    assert machines.not_shown[0].startswith("pods of other namespaces than mine may not be listed")


def test_whoever_may_not_even_list_their_own_pods_gets_the_error() -> None:
    with pytest.raises(ApiError):
        look(no=(EVERY_POD, POD))


def test_pods_of_ours_are_told_with_their_node_and_pool_or_as_waiting() -> None:
    named = {"annotations": {PROGRAM: "train"}}
    flow = pod("heron-flow", "flow", at="n5", nodeSelector={})
    del flow["metadata"]["labels"][CLUSTER]
    found = look(
        pod("heron-1-worker-a", "worker", at=""),
        pod("heron-1-program-train", "driver", metadata=named),
        pod("heron-1-driver", "driver", nodeSelector={}),  # it is on a node of the pool
        flow,
    ).pods
    assert found is not None
    assert [(each.name, each.role, each.pool, each.node) for each in found] == [
        ("heron-1-worker-a", "worker", "far", ""),
        ("heron-1-program-train", "driver", "far", "n1"),
        ("heron-1-driver", "driver", "far", "n1"),
        ("heron-flow", "flow", "", "n5"),
    ]
    assert (found[1].program, found[1].cluster, found[3].cluster) == ("train", "heron-1", "")
    assert found[0].amount == Resources(500, 128 * MI)


def test_gpus_are_counted_by_the_pools_resource() -> None:
    two = {"resources": {"requests": {"cpu": "1", "memory": "1Mi", GPU: "2"}}}
    holds = pod("heron-1-worker-a", "worker", containers=[two])
    (found,) = look(holds).nodes["far"]
    assert (found.capacity.gpus, found.used.gpus, found.free.gpus) == (4, 2, 2)
    other = replace(POOL, gpu_resource="amd.com/gpu")
    machines = machines_of(cast(Api, FakeApi({EVERY_POD: [holds], NODE: [node()]})), [other])
    assert machines.nodes["far"][0].used.gpus == 0


# What a pod asks for, as the scheduler counts it -------------------------------------------------

SIDECAR = asks("200m", restartPolicy="Always")


@pytest.mark.parametrize(
    ("before", "asked"),
    [
        ([asks("300m")], 500),  # it is over before the others begin
        ([asks("900m")], 900),
        ([SIDECAR], 700),
        ([SIDECAR, asks("600m")], 800),  # both run at once, before the main container
        ([asks("900m"), SIDECAR], 900),
    ],
)
def test_containers_that_run_before_count_where_they_ask_for_more(
    before: list[dict[str, Any]], asked: int
) -> None:
    assert requested(pod("web", initContainers=before), GPU).cpu_millis == asked


def test_the_overhead_of_a_pods_runtime_comes_on_top() -> None:
    assert requested(pod("web", overhead={"cpu": "50m", "memory": "1Mi"}), GPU) == Resources(
        550, 129 * MI
    )
