"""A cluster is given back in seconds, also with workers that do not listen, and nothing is left."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import SIZES, Api
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.clusters.declaring import declare
from ebbtide.infra.platforms.kubernetes.clusters.holdings import held
from ebbtide.infra.platforms.kubernetes.clusters.releasing import release, release_unowned
from ebbtide.infra.platforms.kubernetes.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    LEASE,
    POD,
    SECRET,
    Object,
)
from ebbtide.infra.platforms.kubernetes.naming import selector
from ebbtide.infra.waiting import wall_s
from tests.helpers import wait_until
from tests.kubernetes import workloads

CLUSTER = ClusterId("release-1")
DEAF = "trap '' TERM; while :; do sleep 1; done"
LABELS = selector(CLUSTER, "worker")


def thing(api: str, kind: str, name: str, **body: Any) -> Object:
    metadata = {"name": name, "labels": LABELS}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def lease() -> Object:
    return thing("coordination.k8s.io/v1", "Lease", CLUSTER, spec={"leaseDurationSeconds": 30})


def workers(replicas: int) -> Object:
    container = {
        "name": "worker",
        "image": workloads.image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", DEAF],
    }
    pod = {"containers": [container], "terminationGracePeriodSeconds": 600}
    template = {"metadata": {"labels": LABELS}, "spec": workloads.harmless(pod)}
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template}
    return thing("apps/v1", "Deployment", "release-1-worker", spec=spec)


def secret(value: str) -> Object:
    return thing("v1", "Secret", CLUSTER, stringData={"key": value})


def running(api: Api) -> int:
    return sum(p["status"]["phase"] == "Running" for p in api.list(POD, LABELS).items)


def deletions(api: Api, patch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What will be deleted from now on, and how: in the order in which it is asked for."""
    found: list[tuple[str, Any]] = []
    ask = api.ask

    def noted(request: Request, **more: Any) -> Any:
        if request.method == "DELETE":
            how = dict(cast(dict[str, Any], request.body))
            kind = request.path.removesuffix(f"/{CLUSTER}").rpartition("/")[2]
            found.append((kind, how.get("propagationPolicy") or how["gracePeriodSeconds"]))
        return ask(request, **more)

    patch.setattr(api, "ask", noted)
    return found


def test_release_waits_for_no_drain_and_leaves_nothing(
    here: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that are deaf; their own grace is ten minutes. In another order pods come again."""
    assert declare(here, [lease(), secret("a"), workers(2)])
    wait_until(lambda: running(here) == 2, 60, "both workers run")
    deleted = deletions(here, monkeypatch)
    assert release(here, CLUSTER).gone
    assert held(here, CLUSTER, wall_s()) == []
    assert deleted == [
        ("deployments", "Orphan"),
        ("replicasets", "Orphan"),
        ("pods", 1),
        ("leases", "Foreground"),
    ]


def test_declared_again_it_is_adopted_with_its_size_and_its_keys(here: Api) -> None:
    assert declare(here, [lease(), secret("a"), workers(2)])
    here.merge(DEPLOYMENT, "release-1-worker", {"spec": {"replicas": 3}}, manager=SIZES)
    before = here.get(SECRET, CLUSTER)
    assert not declare(here, [lease(), secret("b"), workers(2)])
    found = here.get(DEPLOYMENT, "release-1-worker")
    assert found is not None
    assert found["spec"]["replicas"] == 3
    assert before is not None
    assert here.get(SECRET, CLUSTER) == before
    assert release(here, CLUSTER).gone


def test_declared_again_the_autoscaler_keeps_its_floor(here: Api) -> None:
    """An HPA has no generation that tells whether it has just been made."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "release-1-worker"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    metrics = [{"type": "Resource", "resource": cpu}]
    spec = {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 5, "metrics": metrics}
    made = [lease(), thing("autoscaling/v2", AUTOSCALER.name, "release-1-worker", spec=spec)]
    floors = []
    for raised in (3, 4):
        declare(here, made)
        found = here.get(AUTOSCALER, "release-1-worker")
        assert found is not None
        floors.append(found["spec"]["minReplicas"])
        here.merge(AUTOSCALER, "release-1-worker", {"spec": {"minReplicas": raised}})
    assert floors == [2, 3]
    assert release(here, CLUSTER).gone


def test_what_is_left_of_a_lost_lease_is_given_back_too(here: Api) -> None:
    declare(here, [lease()])
    orphan = secret("a")
    here.create(orphan)
    here.delete(LEASE, CLUSTER)
    assert release(here, CLUSTER).gone
    assert held(here, CLUSTER, wall_s()) == []


def test_what_was_applied_from_a_plan_goes_too_though_its_lease_owns_nothing(here: Api) -> None:
    for thing in (lease(), secret("a"), workers(1)):
        here.apply(thing, manager="kubectl")
    assert release_unowned(here, CLUSTER)
    assert held(here, CLUSTER, wall_s()) == []


@pytest.mark.parametrize("cluster", ["nobody-1"])
def test_releasing_what_is_not_there_is_no_error(here: Api, cluster: str) -> None:
    assert release(here, ClusterId(cluster)).gone
