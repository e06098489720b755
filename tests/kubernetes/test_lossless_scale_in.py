"""Workers are taken away while they work, in every way there is: nothing is lost or done twice.

By the HPA: the floor brings the workers, because the program waits for them; their tasks use no
CPU, so that it lets them go while there is work on them. In the other ways there is no HPA. One
worker holds an actor, and is the one that stays. With Ray and Spark, whose clusters start slowly,
all other ways are taken one after the other on one cluster, to which others come meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.records import Event, EventKind, Run
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.clusters.declaring import add, declare
from ebbtide.infra.platforms.kubernetes.clusters.releasing import release
from ebbtide.infra.platforms.kubernetes.kinds import AUTOSCALER, DEPLOYMENT, LEASE, POD, Object
from ebbtide.infra.platforms.kubernetes.manifests import cluster
from ebbtide.infra.platforms.kubernetes.manifests.pods import Machine
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from ebbtide.infra.platforms.kubernetes.reading.watching import watched
from ebbtide.infra.platforms.kubernetes.tending.care import Care
from ebbtide.infra.platforms.kubernetes.tending.scaling.costs import COST, RUNS, STAYS
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import MIB, QUICK, TIER, run_spec
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import faults, images, metrics_api, node
from tests.kubernetes.lab.place import NODE, REAL, SECOND, Lab

NAME, CLUSTER = "scale-in", ClusterId("scale-in-1")
WORKERS = 3
TIMES = 2 + WORKERS
"""So many workers are taken away in all ways together: one by each, and all of a node."""
_TOO_MANY = 429
"""What an eviction is refused with while the budget does not allow it."""
PROGRAMS = Path(__file__).parent / "programs"
TIERS = {
    "dask": replace(TIER, resources=Resources(200, 400 * MIB)),
    "ray": replace(TIER, resources=Resources(200, 1536 * MIB)),
    "spark": replace(TIER, resources=Resources(200, 1536 * MIB)),
}
"""Of each framework. Its program ``scale_in_FRAMEWORK.py`` is told how many workers shall come,
works until one of them is left, and prints what it finds as JSON: all of it is to be true."""
WINDOW_S, WINDOWS_S = 15, {"spark": 45}
"""A program's first tasks are at work within it: Spark's start a Python on each worker."""


def spec_of(framework: str, way: Taking | None) -> RunSpec:
    tier = replace(TIERS[framework], name="tiny", pool="real", drain_budget_s=60)
    pool = NodePool(name="real", platform="kubernetes", capacity=Resources(4000, 8192 * MIB))
    policy = replace(
        QUICK,
        min_workers=1 if way is None else WORKERS,
        max_workers=WORKERS,
        scale_down_window_s=WINDOWS_S.get(framework, WINDOW_S),
        target_backlog_s=600.0,
    )
    asked = ClusterSpec(framework=framework, tier=tier, head_tier=tier, pool=pool, policy=policy)
    kind, words = ("replaced", [TIMES]) if way is in_every_way else ("scale_in", [])
    program = (PROGRAMS / f"{kind}_{framework}.py").read_text()
    argv = (str(layout.paths().python), "-c", program, *map(str, [WORKERS, *words]))
    return replace(run_spec(NAME, asked), job=JobSpec(argv=argv, workdir="/"))


@dataclass(slots=True)
class Stand:
    """A cluster that stands, and is cared for from a thread."""

    api: Api
    spec: RunSpec
    home: Path

    def messages(self, kind: EventKind) -> list[str]:
        """What was told of one kind."""
        return [event.message for event in self.events() if event.kind == kind]

    def events(self) -> list[Event]:
        """All that was told."""
        with contextlib.closing(Ledger(self.home)) as ledger:
            return ledger.events(self.spec.name)

    def care(self, stopped: threading.Event) -> None:
        """Until told to stop."""
        with (
            contextlib.closing(Ledger(self.home)) as ledger,
            watched(self.api, CLUSTER) as seen,
        ):
            reporter, version = StatusReporter(ledger, self.spec.name, CLUSTER), -1
            care = Care(self.api, self.spec, ledger, reporter)
            while not stopped.is_set():
                snapshot = seen.changed(version, 1.0)
                if snapshot is not None and snapshot.lease is not None:
                    version = snapshot.version
                    view = view_of(snapshot, self.spec, reporter.view)
                    reporter.view = care.told(snapshot, view)
                    care.tick(snapshot, reporter.view)
            care.close()


Taking = Callable[[Stand, client.ApiClient], None]


def by_scale(stand: Stand, _: client.ApiClient) -> None:
    """As ``kubectl scale`` does."""
    stand.api.merge(DEPLOYMENT, f"{CLUSTER}-worker", {"spec": {"replicas": 1}})


def by_eviction(stand: Stand, api: client.ApiClient) -> None:
    """One after the other, as the disruption budget allows."""
    for name in busy(stand):
        evict(stand, api, name)


def evict(stand: Stand, api: client.ApiClient, pod: str) -> None:
    """As soon as the disruption budget allows it."""
    core, space = client.CoreV1Api(api), stand.api.namespace

    def taken() -> bool:
        body = {"metadata": {"name": pod, "namespace": space}}
        try:
            core.create_namespaced_pod_eviction(pod, space, body)
        except ApiException as error:
            if error.status != _TOO_MANY:
                raise
            return False
        return True

    wait_until(taken, 180, "the budget allows it")


def by_drain(stand: Stand, api: client.ApiClient) -> None:
    """As ``kubectl drain`` does: others come on another node."""
    faults.uncordon(api, SECOND.name)
    faults.cordon(api, NODE)
    try:
        by_eviction(stand, api)
    finally:
        faults.uncordon(api, NODE)


def in_every_way(stand: Stand, api: client.ApiClient) -> None:
    """One by scale, one by eviction, and all of a node: in the place of each another comes."""
    name = f"{CLUSTER}-worker"
    stand.api.merge(DEPLOYMENT, name, {"spec": {"replicas": WORKERS - 1}})
    have_left(stand, 1)
    stand.api.merge(DEPLOYMENT, name, {"spec": {"replicas": WORKERS}})
    wait_until(lambda: len(working(stand)) == WORKERS, 180, "all work again")
    evict(stand, api, working(stand)[0])
    have_left(stand, 2)
    wait_until(lambda: len(working(stand)) == WORKERS, 180, "all work again")
    faults.uncordon(api, SECOND.name)
    faults.cordon(api, NODE)
    try:
        for pod in working(stand):
            evict(stand, api, pod)
        have_left(stand, TIMES)
    finally:
        faults.uncordon(api, NODE)


def have_left(stand: Stand, count: int) -> None:
    """Wait until so many workers have been told to go, and have gone by themselves."""
    why = f"{count} have left"
    wait_until(lambda: len(stand.messages(EventKind.LEFT)) >= count, 180, why)


def busy(stand: Stand) -> list[str]:
    """The pods of workers that have work and hold nothing that cannot move."""
    return [name for name, cost in costs(stand).items() if RUNS <= cost < STAYS]


def working(stand: Stand) -> list[str]:
    """The pods of workers that have work."""
    return [name for name, cost in costs(stand).items() if cost >= RUNS]


def costs(stand: Stand) -> dict[str, int]:
    """What it costs to let each worker go that has not been told to, by its pod."""
    found = (pod["metadata"] for pod in stand.api.list(POD, {"ebbtide.dev/role": "worker"}).items)
    return {
        pod["name"]: int(pod.get("annotations", {}).get(COST, 0))
        for pod in found
        if "deletionTimestamp" not in pod
    }


@pytest.fixture
def measured(lab: Lab, api: client.ApiClient) -> Iterator[None]:
    """The HPA sees what the pods really use."""
    metrics_api.use(api, lab.address, "real")
    yield
    metrics_api.use(api, lab.address, "simulated")


@pytest.fixture(
    params=["dask", *(pytest.param(name, marks=pytest.mark.long) for name in ("ray", "spark"))]
)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def on_one_node(image: Image, framework: str) -> Machine:
    where = {"kubernetes.io/hostname": NODE}
    return Machine(image=image(framework), selector=where, pull_policy="Never")


@pytest.fixture
def on_two_nodes(lab: Lab, api: client.ApiClient, on_one_node: Machine) -> Iterator[Machine]:
    """The second takes nothing yet."""
    node.start_second(lab, api)
    images.copy(lab, on_one_node.image, SECOND)
    faults.cordon(api, SECOND.name)
    reserved = {"key": node.RESERVED["key"], "operator": "Exists", "effect": "NoSchedule"}
    yield replace(on_one_node, selector={REAL: "yes"}, tolerations=(reserved,))
    faults.uncordon(api, SECOND.name)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> Taking | None:
    """How workers are taken away; None: by the HPA, and nobody else does anything."""
    found: Taking | None = getattr(request, "param", None)
    return found


@pytest.fixture
def stand(
    here: Api, framework: str, way: Taking | None, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Stand]:
    request.getfixturevalue("measured")
    guarded = request.getfixturevalue("guarded")
    spec, kind = spec_of(framework, way), load_framework(framework)
    plan = ClusterPlan(cluster=CLUSTER, spec=spec.cluster, paths=layout.paths())
    nodes = "on_two_nodes" if way in (by_drain, in_every_way) else "on_one_node"
    machine = request.getfixturevalue(nodes)
    place = cluster.Place(namespace=guarded, machine=machine)
    declare(here, cluster.objects(spec, plan, kind, kind.prepare(plan), place))
    lease = here.get(LEASE, CLUSTER)
    assert lease is not None
    if way is None:
        add(here, lease, cluster.autoscaler(spec, CLUSTER, place))
    add(here, lease, cluster.driver(spec, plan, kind, place))
    with contextlib.closing(Ledger(tmp_path)) as ledger:
        ledger.reserve(Run(name=spec.name, spec_json="{}"))
        ledger.add_cluster(CLUSTER, spec.name, attempt=1, pool="real", lease_s=30)
    made, stopped = Stand(here, spec, tmp_path), threading.Event()
    thread = threading.Thread(target=made.care, args=(stopped,))
    thread.start()
    yield made
    stopped.set()
    thread.join()
    assert release(here, CLUSTER).gone


def ended(api: Api) -> Object | None:
    """The state of the driver's container once the program has ended."""
    pod = api.get(POD, f"{CLUSTER}-driver") or {"status": {}}
    states = {each["name"]: each["state"] for each in pod["status"].get("containerStatuses") or ()}
    found: Object | None = states.get("driver", {}).get("terminated")
    return found


def printed(stand: Stand) -> str:
    """By the program; nothing before its container has started."""
    pod = stand.api.get(POD, f"{CLUSTER}-driver") or {"status": {}}
    if pod["status"].get("phase") in (None, "Pending"):
        return ""
    return b"".join(stand.api.logs(f"{CLUSTER}-driver", "driver")).decode()


def ends_with_all_it_had(stand: Stand) -> None:
    """Wait for the program's end, when one of its first workers is left."""
    terminated: Any = wait_until(lambda: ended(stand.api), 480, "the program ends")
    print(*stand.events(), sep="\n")
    assert terminated["exitCode"] == 0, printed(stand)
    found = json.loads(printed(stand).splitlines()[-1])
    assert {"left", "enough", "once", "results"} <= found.keys()
    assert [name for name in found if found[name] is not True] == []


@pytest.mark.long
@pytest.mark.parametrize("framework", ["dask"], indirect=True)  # of Ray's all that work stay
@pytest.mark.parametrize("way", [by_scale, by_eviction, by_drain], indirect=True)
def test_nothing_is_lost_when_others_take_busy_workers_away(
    stand: Stand, way: Taking, api: client.ApiClient
) -> None:
    wait_until(lambda: len(busy(stand)) == WORKERS - 1, 240, "all work, and one has to stay")
    way(stand, api)
    ends_with_all_it_had(stand)


@pytest.mark.long
@pytest.mark.parametrize("framework", ["ray", "spark"], indirect=True)
@pytest.mark.parametrize("way", [in_every_way], indirect=True)
def test_nothing_is_lost_when_busy_workers_are_replaced_by_others(
    stand: Stand, way: Taking, api: client.ApiClient
) -> None:
    wait_until(lambda: "begun" in printed(stand), 300, "the program has begun")
    wait_until(lambda: len(working(stand)) == WORKERS, 300, "all work")
    way(stand, api)
    ends_with_all_it_had(stand)


def test_nothing_is_lost_when_the_hpa_lets_busy_workers_go(stand: Stand, framework: str) -> None:
    ends_with_all_it_had(stand)
    grown, *shrunk = stand.messages(EventKind.SCALED)
    assert grown.startswith("workers 1 → 3   demand:")
    assert shrunk[-1].partition("   ")[0].endswith("→ 1")
    assert len(stand.messages(EventKind.LEFT)) >= WORKERS - 1
    (survivor,) = (
        pod
        for pod in stand.api.list(POD, {"ebbtide.dev/role": "worker"}).items
        if "deletionTimestamp" not in pod["metadata"]
    )
    stays = survivor["metadata"]["annotations"][COST] == str(STAYS)
    assert stays == (framework != "spark")  # all that Spark keeps can move
    hpa = stand.api.get(AUTOSCALER, f"{CLUSTER}-worker")
    assert hpa is not None
    assert hpa["spec"]["minReplicas"] == 1
