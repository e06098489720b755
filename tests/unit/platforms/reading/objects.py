"""Objects as a real API server (1.34) spells them, cut to what is read of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from tests.clusters import QUICK, cluster_spec, run_spec

GI = 2**30
CLUSTER = ClusterId("heron-1")
T0 = 1_800_000_000.0
TIER = HardwareTier(name="large", pool="compute", resources=Resources(4000, 16 * GI))
HEAD_TIER = HardwareTier(name="medium", pool="compute", resources=Resources(2000, 8 * GI))
SMALL = HardwareTier(name="small", pool="compute", resources=Resources(1000, 4 * GI))
GPU = HardwareTier(name="huge", pool="other", resources=Resources(16_000, 64 * GI))
POOL = replace(cluster_spec().pool, name="compute", platform="kubernetes")

Object = dict[str, Any]


def spec(framework: str = "dask", min_workers: int = 2) -> RunSpec:
    cluster = cluster_spec(
        framework,
        tier=TIER,
        head_tier=HEAD_TIER,
        pool=POOL,
        policy=replace(QUICK, min_workers=min_workers),
        choice=(SMALL, HEAD_TIER, TIER, GPU),
    )
    return run_spec("heron", cluster)


def at(seconds: float) -> str:
    """So long after T0, cut to seconds as the server does."""
    return datetime.fromtimestamp(T0 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, created: float = 0, **more: Any) -> Object:
    """A pod that has just been made; ``name`` is what follows the cluster's id."""
    role = name.split("-", maxsplit=1)[0]
    container = {"name": role, "resources": {"limits": {"memory": str(GI)}}}
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"{CLUSTER}-{name}",
            "uid": f"uid-{name}",
            "creationTimestamp": at(created),
            "labels": {"ebbtide.dev/cluster": CLUSTER, "ebbtide.dev/role": role},
            **more,
        },
        "spec": {"containers": [container]},
        "status": {"phase": "Pending", "conditions": []},
    }


def condition(kind: str, status: bool, when: float, reason: str = "", message: str = "") -> Object:
    found = {"type": kind, "status": str(status), "lastTransitionTime": at(when)}
    told = {"reason": reason, "message": message}
    return {**found, **{key: value for key, value in told.items() if value}}


def with_condition(thing: Object, made: Object) -> Object:
    others = [c for c in thing["status"].get("conditions", ()) if c["type"] != made["type"]]
    return {**thing, "status": {**thing["status"], "conditions": [*others, made]}}


def placed(name: str, when: float = 1, node: str = "node-a", **more: Any) -> Object:
    made = pod(name, **more)
    made["spec"]["nodeName"] = node
    return with_condition(made, condition("PodScheduled", True, when))


def with_state(thing: Object, state: Object, *, ready: bool = False, **more: Any) -> Object:
    """With this state of the main container."""
    name = thing["metadata"]["labels"]["ebbtide.dev/role"]
    status = {"name": name, "ready": ready, "restartCount": 0, "image": "ebb:1", "state": state}
    return {**thing, "status": {**thing["status"], "containerStatuses": [{**status, **more}]}}


def waiting(name: str, reason: str, message: str = "", **more: Any) -> Object:
    return with_state(placed(name), {"waiting": {"reason": reason, "message": message}}, **more)


def running(name: str, since: float = 2, **more: Any) -> Object:
    unready = condition("Ready", False, since, "ContainersNotReady")
    made = with_state(placed(name, **more), {"running": {"startedAt": at(since)}})
    return with_condition(made, unready)


def ready(name: str, when: float = 5, **more: Any) -> Object:
    made = with_state(placed(name, **more), {"running": {"startedAt": at(2)}}, ready=True)
    return with_condition(made, condition("Ready", True, when))


def ended(name: str, code: int, reason: str = "Error", message: str = "", **more: Any) -> Object:
    found = {"exitCode": code, "reason": reason, "startedAt": at(2), "finishedAt": at(50)}
    if message:
        found["message"] = message
    return with_state(placed(name, **more), {"terminated": found})


def unschedulable(name: str, message: str, since: float = 1) -> Object:
    return with_condition(
        pod(name), condition("PodScheduled", False, since, "Unschedulable", message)
    )


def disrupted(thing: Object, reason: str, message: str = "") -> Object:
    return with_condition(thing, condition("DisruptionTarget", True, 40, reason, message))


def deployment(replicas: int = 2, *conditions: Object) -> Object:
    meta = {"name": f"{CLUSTER}-worker", "uid": "uid-deployment"}
    return {
        "kind": "Deployment",
        "metadata": meta,
        "spec": {"replicas": replicas},
        "status": {"conditions": list(conditions)},
    }


def event(thing: Object, reason: str, message: str, when: float = 3, who: str = "") -> Object:
    meta = thing["metadata"]
    return {
        "metadata": {"name": f"{meta['name']}.{reason}.{when}", "creationTimestamp": at(when)},
        "involvedObject": {"kind": thing["kind"], "name": meta["name"], "uid": meta.get("uid")},
        "reason": reason,
        "message": message,
        "firstTimestamp": at(when),
        "lastTimestamp": at(when),
        "source": {"component": who or "cluster-autoscaler"},
    }


LEASE: Object = {"kind": "Lease", "metadata": {"name": CLUSTER, "uid": "uid-lease"}, "spec": {}}
AUTOSCALER: Object = {
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": f"{CLUSTER}-worker", "creationTimestamp": at(12)},
}


def snapshot(*pods: Object, now: float = 10, **more: Any) -> Snapshot:
    fixed: dict[str, Any] = {"lease": LEASE, "deployment": deployment()}
    return Snapshot(cluster=CLUSTER, now=T0 + now, pods=pods, **{**fixed, **more})


STANDING = (ready("head"), ready("worker-a", 6), ready("worker-b", 7, created=1))
