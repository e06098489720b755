"""The HPA itself takes workers away while they work, and nothing is lost or done twice.

The floor brings the workers, because the program waits for them; their tasks use no CPU, so that
the HPA lets them go while there is work on them. One holds an actor, and is the one that stays.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.records import Event, EventKind, Run
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.clusters.declaring import add, declare
from ebbtide.infra.platforms.kubernetes.clusters.releasing import release
from ebbtide.infra.platforms.kubernetes.kinds import AUTOSCALER, LEASE, POD, Object
from ebbtide.infra.platforms.kubernetes.manifests import cluster
from ebbtide.infra.platforms.kubernetes.manifests.pods import Machine
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from ebbtide.infra.platforms.kubernetes.reading.watching import watched
from ebbtide.infra.platforms.kubernetes.tending.care import Care
from ebbtide.infra.platforms.kubernetes.tending.scaling.costs import COST, STAYS
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import MIB, QUICK, run_spec
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import metrics_api
from tests.kubernetes.lab.place import NODE, Lab

NAME, CLUSTER = "scale-in", ClusterId("scale-in-1")
WORKERS = 3
PROGRAM = """
import collections, json, sys, time
from distributed import Client, get_worker, wait

class Total:
    value = 0
    def add(self, amount):
        self.value += amount
        return self.value

def started(item):
    get_worker().log_event("starts", item)
    time.sleep(3)
    return bytes([item % 256]) * 1000

count = int(sys.argv[1])
with Client() as client:
    there = lambda: len(client.scheduler_info(n_workers=-1)["workers"])
    client.wait_for_workers(count, timeout=240)
    actor = client.submit(Total, actor=True).result()
    actor.add(5).result()
    scattered = client.scatter([bytes([i]) * 5000 for i in range(12)])
    futures, until = [], time.monotonic() + 240
    while there() > 1 and time.monotonic() < until:
        if sum(not future.done() for future in futures) < 2 * count:
            futures += client.map(started, [len(futures)], pure=False)
        time.sleep(0.1)
    left = there()
    results = client.gather(futures)
    starts = collections.Counter(item for _, item in client.get_events("starts"))
    print(json.dumps({
        "left": left,
        "enough": len(futures) >= count,
        "once": starts == collections.Counter(range(len(futures))),
        "results": results == [bytes([i % 256]) * 1000 for i in range(len(futures))],
        "scattered": client.gather(scattered) == [bytes([i]) * 5000 for i in range(12)],
        "actor": actor.add(1).result(),
    }))
"""


def spec_of() -> RunSpec:
    tier = HardwareTier(
        name="tiny", pool="real", resources=Resources(200, 400 * MIB), drain_budget_s=30
    )
    pool = NodePool(name="real", platform="kubernetes", capacity=Resources(4000, 8192 * MIB))
    policy = replace(QUICK, max_workers=WORKERS, scale_down_window_s=15, target_backlog_s=600.0)
    asked = ClusterSpec(framework="dask", tier=tier, head_tier=tier, pool=pool, policy=policy)
    argv = (str(layout.paths().python), "-c", PROGRAM, str(WORKERS))
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


@pytest.fixture
def measured(lab: Lab, api: client.ApiClient) -> Iterator[None]:
    """The HPA sees what the pods really use."""
    metrics_api.use(api, lab.address, "real")
    yield
    metrics_api.use(api, lab.address, "simulated")


@pytest.fixture
def stand(here: Api, guarded: str, image: Image, measured: None, tmp_path: Path) -> Iterator[Stand]:
    spec, framework = spec_of(), load_framework("dask")
    plan = ClusterPlan(cluster=CLUSTER, spec=spec.cluster, paths=layout.paths())
    machine = Machine(
        image=image("dask"), selector={"kubernetes.io/hostname": NODE}, pull_policy="Never"
    )
    place = cluster.Place(namespace=guarded, machine=machine)
    declare(here, cluster.objects(spec, plan, framework, framework.prepare(plan), place))
    lease = here.get(LEASE, CLUSTER)
    assert lease is not None
    add(here, lease, cluster.autoscaler(spec, CLUSTER, place))
    add(here, lease, cluster.driver(spec, plan, framework, place))
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


def test_nothing_is_lost_when_the_hpa_lets_busy_workers_go(stand: Stand) -> None:
    terminated: Any = wait_until(lambda: ended(stand.api), 480, "the program ends")
    printed = b"".join(stand.api.logs(f"{CLUSTER}-driver", "driver")).decode()
    print(*stand.events(), sep="\n")
    assert terminated["exitCode"] == 0, printed
    assert json.loads(printed.splitlines()[-1]) == {
        "left": 1,
        "enough": True,
        "once": True,
        "results": True,
        "scattered": True,
        "actor": 6,
    }
    grown, *shrunk = stand.messages(EventKind.SCALED)
    assert grown.startswith("workers 1 → 3   demand:")
    assert shrunk[-1].partition("   ")[0].endswith("→ 1")
    assert len(stand.messages(EventKind.LEFT)) >= WORKERS - 1
    (survivor,) = (
        pod
        for pod in stand.api.list(POD, {"ebbtide.dev/role": "worker"}).items
        if "deletionTimestamp" not in pod["metadata"]
    )
    assert survivor["metadata"]["annotations"][COST] == str(STAYS)
    hpa = stand.api.get(AUTOSCALER, f"{CLUSTER}-worker")
    assert hpa is not None
    assert hpa["spec"]["minReplicas"] == 1
