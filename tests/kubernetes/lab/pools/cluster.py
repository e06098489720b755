"""The pool controller's hands: what it reads of the Kubernetes and what it does to it."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.kubernetes.lab.pools import fit, values
from tests.kubernetes.lab.pools.values import (
    BOOTS,
    CANDIDATE,
    DELETION,
    GPU,
    LABEL,
    MARK,
    READY_AT,
    Node,
    Pod,
    Pool,
    Timers,
)
from tests.kubernetes.lab.simulated import BOOTING

SPACE, ORDERS, STATUS = "kube-system", "lab-pools", "cluster-autoscaler-status"
TIMERS, POOL = "timers", "pool."
"""Keys of the ConfigMap of orders: the timers, and one for each pool."""
NAME = "cluster-autoscaler"
_KWOK, _BOOTED = "kwok.x-k8s.io/node", "lab.ebbtide.io/booted-at"
_FORBIDDEN, _NOT_FOUND, _CONFLICT, _REFUSED = 403, 404, 409, 429


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event is about."""

    kind: str
    name: str
    space: str = ""
    uid: str = ""


SELF = Subject("ConfigMap", STATUS, SPACE)


def of_pod(pod: Pod) -> Subject:
    """An event's pod."""
    return Subject("Pod", pod.name, pod.space, pod.uid)


def of_node(node: Node) -> Subject:
    """An event's node."""
    return Subject("Node", node.name, uid=node.name)


class Cluster:
    """The API server, asked in plain JSON: hundreds of pods a scan are too many to unpack."""

    def __init__(self, api: client.ApiClient):
        self._core = client.CoreV1Api(api)
        self._policy = client.PolicyV1Api(api)

    def orders(self) -> tuple[list[Pool], Timers]:
        """The pools and timers that are wanted now."""
        try:
            found = self._core.read_namespaced_config_map(ORDERS, SPACE, _preload_content=False)
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            return [], Timers()
        data = json.loads(found.data).get("data") or {}
        pools = [Pool(**json.loads(text)) for key, text in data.items() if key.startswith(POOL)]
        pools.sort(key=lambda pool: pool.name)
        return pools, Timers(**json.loads(data.get(TIMERS, "{}")))

    def nodes(self) -> list[Node]:
        """All nodes, also those of others."""
        found = _items(self._core.list_node(_preload_content=False))
        return sorted((values.node_from(each) for each in found), key=lambda node: node.name)

    def pods(self) -> list[Pod]:
        """All pods that hold or want something, and whether a budget guards them."""
        asked = self._core.list_pod_for_all_namespaces(resource_version="0", _preload_content=False)
        pods = [values.pod_from(each) for each in _items(asked) if not values.ended(each)]
        budgets = _items(
            self._policy.list_pod_disruption_budget_for_all_namespaces(_preload_content=False)
        )
        spent = [each for each in budgets if not each["status"].get("disruptionsAllowed")]
        return [replace(pod, guarded=any(covers(b, pod) for b in spent)) for pod in pods]

    def register(self, pool: Pool, name: str, ready_at: float) -> None:
        """A node appears that boots: KWOK keeps it alive and does not make it ready yet."""
        if pool.node:
            self._join(pool, ready_at)
            return
        amounts = {key: str(amount) for key, amount in pool.allocatable().items()}
        down = {"type": "Ready", "status": "False", "reason": "KubeletNotReady"}
        body = {
            "metadata": {
                "name": name,
                "labels": {**pool.labels(), "kubernetes.io/hostname": name},
                "annotations": {_KWOK: "fake", BOOTING: "true", READY_AT: str(ready_at)},
            },
            "spec": {"taints": pool.taints()},
            # In the same request: a node that says nothing of its readiness is taken for ready.
            "status": {"capacity": amounts, "allocatable": amounts, "conditions": [down]},
        }
        with _unless(_CONFLICT):
            self._core.create_node(body)

    def ready(self, name: str, now: float) -> None:
        """KWOK may make it ready.

        To be said until it has: KWOK overlooks what changes before it holds the node's lease.
        """
        with _unless(_NOT_FOUND):
            said = {BOOTING: None, _BOOTED: str(now)}
            self._core.patch_node(name, {"metadata": {"annotations": said}})
        self._set_taints(name, lambda taints: _without(taints, BOOTS))

    def delete(self, name: str) -> None:
        """The machine and its node are gone; a real node only leaves its pool."""
        with _unless(_NOT_FOUND):
            found = json.loads(self._core.read_node(name, _preload_content=False).data)
            noted = found["metadata"].get("annotations", {})
            if _KWOK in noted:
                self._core.delete_node(name, grace_period_seconds=0)
            else:
                self._leave(name, noted.get(LABEL, ""))

    def taint(self, node: Node, key: str, effect: str, now: float) -> None:
        """Mark a node."""
        new = {"key": key, "value": str(int(now)), "effect": effect}
        self._set_taints(
            node.name, lambda taints: [*taints, new] if not _has(taints, key) else None
        )

    def untaint(self, node: Node, key: str) -> None:
        """Take a mark back."""
        self._set_taints(node.name, lambda taints: _without(taints, key))

    def evict(self, pod: Pod) -> None:
        """Ask for a pod's end; a budget may refuse, and then it is asked again at the next scan."""
        body = {"metadata": {"name": pod.name, "namespace": pod.space}}
        with _unless(_NOT_FOUND, _REFUSED):
            self._core.create_namespaced_pod_eviction(pod.name, pod.space, body)

    def say(self, about: Subject, kind: str, reason: str, message: str) -> None:
        """One event; ``kind`` is Normal or Warning."""
        space = about.space or "default"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        target = {"kind": about.kind, "name": about.name, "apiVersion": "v1", "uid": about.uid}
        event = {
            "metadata": {"name": f"{about.name}.{uuid.uuid4().hex[:16]}", "namespace": space},
            "involvedObject": {**target, "namespace": about.space},
            "type": kind,
            "reason": reason,
            "message": message,
            "source": {"component": NAME},
            "reportingComponent": NAME,
            "reportingInstance": NAME,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        with _unless(_NOT_FOUND, _FORBIDDEN):  # a namespace that ends takes no events
            self._core.create_namespaced_event(space, event)

    def tell(self, status: str, now: float) -> None:
        """Write the status document down."""
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S.%f +0000 UTC")
        noted = {"annotations": {"cluster-autoscaler.kubernetes.io/last-updated": moment}}
        body = {"metadata": {"name": STATUS, **noted}, "data": {"status": status}}
        try:
            self._core.patch_namespaced_config_map(STATUS, SPACE, body)
        except ApiException as error:
            if error.status != _NOT_FOUND:
                raise
            self._core.create_namespaced_config_map(SPACE, body)

    def _join(self, pool: Pool, ready_at: float) -> None:
        """The real node is of a pool from now on, and nothing is placed there before it is ready.

        The taint comes first, or what waits would not wait.
        """
        boots = {"key": BOOTS, "effect": "NoSchedule"}
        own = [*pool.taints(), boots]
        keys = {taint["key"] for taint in own}
        self._set_taints(
            pool.node, lambda taints: [*(t for t in taints if t["key"] not in keys), *own]
        )
        noted = {READY_AT: str(ready_at), LABEL: pool.label}
        labels = {pool.label: pool.name, MARK: pool.name}
        with _unless(_NOT_FOUND):
            self._core.patch_node(pool.node, {"metadata": {"labels": labels, "annotations": noted}})

    def _leave(self, name: str, label: str) -> None:
        """It is of no pool any more, and as it was before."""
        labels = {MARK: None, **({label: None} if label else {})}
        noted = {READY_AT: None, LABEL: None, _BOOTED: None}
        self._core.patch_node(name, {"metadata": {"labels": labels, "annotations": noted}})
        marks = (DELETION, CANDIDATE, BOOTS, GPU, *filter(None, (label,)))
        self._set_taints(name, lambda taints: _without(taints, *marks))

    def _set_taints(self, name: str, change: Any) -> None:
        """Read, change and write; who comes between makes it begin anew at the next scan."""
        with _unless(_NOT_FOUND, _CONFLICT):
            found = json.loads(self._core.read_node(name, _preload_content=False).data)
            taints = change(found["spec"].get("taints", []))
            if taints is not None:
                version = {"resourceVersion": found["metadata"]["resourceVersion"]}
                self._core.patch_node(name, {"metadata": version, "spec": {"taints": taints}})


def covers(budget: Mapping[str, Any], pod: Pod) -> bool:
    """Whether a disruption budget is about this pod."""
    selector = budget["spec"].get("selector", {})
    exact = selector.get("matchLabels", {})
    same = all(pod.labels.get(key) == value for key, value in exact.items())
    right_space = budget["metadata"]["namespace"] == pod.space
    return right_space and same and fit.matches(pod.labels, selector.get("matchExpressions", ()))


@contextlib.contextmanager
def _unless(*statuses: int) -> Iterator[None]:
    """These answers are as good as done."""
    try:
        yield
    except ApiException as error:
        if error.status not in statuses:
            raise


def _items(answer: Any) -> Sequence[Any]:
    found: Sequence[Any] = json.loads(answer.data)["items"]
    return found


def _without(taints: Sequence[Mapping[str, Any]], *keys: str) -> list[Any] | None:
    """Those that are left; None when nothing would change."""
    left = [taint for taint in taints if taint["key"] not in keys]
    return left if len(left) != len(taints) else None


def _has(taints: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(taint["key"] == key for taint in taints)
