"""Pools, timers, pods and nodes as the pool controller sees them. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from typing import Any

from kubernetes.utils.quantity import parse_quantity

POOL_LABEL = "dominodatalab.com/node-pool"
"""Another one than Karpenter's pools have, so that each leaves the other's pods alone."""
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
GPU = "nvidia.com/gpu"
MARK = "lab.ebbtide.io/machine-of"
"""On every node that this controller made: its pool."""
LABEL = "lab.ebbtide.io/pool-label"
"""On a real node that is in a pool: the label by which it is."""
BOOTS = "lab.ebbtide.io/boots"
"""The taint of a real node that plays one which boots."""
READY_AT = "lab.ebbtide.io/ready-at"
"""When a booting node becomes ready, in seconds since the epoch."""

DELETION, CANDIDATE = "ToBeDeletedByClusterAutoscaler", "DeletionCandidateOfClusterAutoscaler"
DISABLED = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
SAFE = "cluster-autoscaler.kubernetes.io/safe-to-evict"
BESIDE = "ebb-lab/beside"
"""An annotation of a pod that is on a machine of a pool only because the lab has no other."""

_NOT_READY = "node.kubernetes.io/not-ready"

NO_BOOT = "NO_BOOT"
"""The fault of a pool whose machines are granted and never become nodes."""

Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal machines that are grown from ``least`` to ``most``."""

    name: str
    cores: int = 4
    memory_gib: int = 16
    least: int = 0
    most: int = 10
    boot_s: float = 4
    """From the order to the ready node; in the second half the node is there and not ready."""
    fault: str = ""
    """What happens to orders: nothing wrong, NO_BOOT, or refused with this error code."""
    gpus: int = 0
    """Of one machine; its node then has the taint by which clouds keep other pods off it."""
    gpu_type: str = ""
    """As NVIDIA's feature discovery would label its nodes."""
    tainted: bool = False
    """Whether its nodes repel pods that do not tolerate the pool's label as a taint."""
    label: str = POOL_LABEL
    node: str = ""
    """The lab's real node is this pool's one machine: it joins the pool and leaves it again."""

    def allocatable(self) -> dict[str, Decimal]:
        """What pods may use of one machine."""
        gib = Decimal(2**30)
        sizes = {"cpu": Decimal(self.cores), "memory": self.memory_gib * gib, "pods": Decimal(110)}
        return {**sizes, GPU: Decimal(self.gpus)} if self.gpus else sizes

    def labels(self) -> dict[str, str]:
        """What its nodes are called by."""
        kind = {f"{GPU}.product": self.gpu_type} if self.gpu_type else {}
        kind[INSTANCE_TYPE] = f"lab.{self.cores}x{self.memory_gib}"
        return {self.label: self.name, MARK: self.name, "kubernetes.io/os": "linux", **kind}

    def taints(self) -> list[dict[str, str]]:
        """What its nodes repel pods by."""
        taint = {"key": self.label, "value": self.name, "effect": "NoSchedule"}
        for_gpus = {"key": GPU, "value": "present", "effect": "NoSchedule"}
        return [taint] * self.tainted + [for_gpus] * bool(self.gpus)


@dataclass(frozen=True, slots=True)
class Timers:
    """Cluster Autoscaler's defaults, in seconds."""

    scan_s: float = 10
    unneeded_s: float = 600
    unready_s: float = 1200
    after_growth_s: float = 600
    """No node goes so long after one was added."""
    after_failure_s: float = 180
    provision_s: float = 900
    """An order that has not become a ready node by then has failed."""
    backoff_s: float = 300
    most_backoff_s: float = 1800
    after_taint_s: float = 5
    drain_s: float = 600
    repeat_s: float = 300
    """The same event is not said again for so long."""
    threshold: float = 0.5
    """A node whose requests are under this share of what it has may be unneeded."""
    at_once: int = 10


DOMINO_5 = Timers()
"""Domino 5.0 leaves what decides as it is: 10 minutes unneeded, requests under 50 %."""


@dataclass(frozen=True, slots=True)
class Pod:
    """What decides where a pod goes, and whether it may be moved."""

    name: str
    space: str
    uid: str = ""
    requests: Amounts = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    terms: tuple[Any, ...] = ()
    """Required node affinity: one of these must match."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    node: str = ""
    pending: bool = False
    """The scheduler has said that no node fits."""
    leaving: bool = False
    owner: str = ""
    """The kind of its controller; empty when nobody would make it anew."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    local_data: bool = False
    guarded: bool = False
    """A disruption budget refuses its eviction now."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node, of a pool of ours or not."""

    name: str
    pool: str = ""
    allocatable: Amounts = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Mapping[str, Any], ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    ready: bool = True
    unschedulable: bool = False

    def marked(self, key: str) -> bool:
        """Whether it has a taint of this key."""
        return any(taint["key"] == key for taint in self.taints)


def pod_from(found: Mapping[str, Any]) -> Pod:
    """From the API server's JSON."""
    meta, spec, status = found["metadata"], found["spec"], found.get("status", {})
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    conditions = status.get("conditions", ())
    unschedulable = any(
        each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable"
        for each in conditions
    )
    owners = [each for each in meta.get("ownerReferences", ()) if each.get("controller")]
    return Pod(
        name=meta["name"],
        space=meta["namespace"],
        uid=meta["uid"],
        requests=_requests(spec),
        selector=spec.get("nodeSelector", {}),
        terms=tuple(required.get("nodeSelectorTerms", ())),
        tolerations=tuple(spec.get("tolerations", ())),
        node=spec.get("nodeName", ""),
        pending=unschedulable and not spec.get("nodeName") and "deletionTimestamp" not in meta,
        leaving="deletionTimestamp" in meta,
        owner=owners[0]["kind"] if owners else "",
        annotations=meta.get("annotations", {}),
        labels=meta.get("labels", {}),
        local_data=any(_is_local(volume) for volume in spec.get("volumes", ())),
    )


def ended(found: Mapping[str, Any]) -> bool:
    """Whether a pod holds nothing of its node any more."""
    return found.get("status", {}).get("phase") in ("Succeeded", "Failed")


def node_from(found: Mapping[str, Any]) -> Node:
    """From the API server's JSON."""
    meta, spec, status = found["metadata"], found.get("spec", {}), found.get("status", {})
    conditions = status.get("conditions", ())
    amounts, taints = status.get("allocatable", {}), spec.get("taints", ())
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return Node(
        name=meta["name"],
        pool=meta.get("labels", {}).get(MARK, ""),
        allocatable={name: quantity(amount) for name, amount in amounts.items()},
        labels=meta.get("labels", {}),
        taints=tuple(taints),
        annotations=meta.get("annotations", {}),
        # The taint goes a moment after the condition changes; until then nothing is scheduled.
        ready=ready and not any(taint["key"] in (_NOT_READY, BOOTS) for taint in taints),
        unschedulable=bool(spec.get("unschedulable")),
    )


@lru_cache(maxsize=1000)
def quantity(text: str) -> Decimal:
    """``500m`` or ``2Gi`` as a number of the unit itself."""
    return Decimal(parse_quantity(text))


def _requests(spec: Mapping[str, Any]) -> dict[str, Decimal]:
    """The sum over the containers; sidecars among the init containers count, others do not."""
    total = {"pods": Decimal(1)}
    sidecars = [c for c in spec.get("initContainers", ()) if c.get("restartPolicy") == "Always"]
    for container in (*spec.get("containers", ()), *sidecars):
        for name, amount in container.get("resources", {}).get("requests", {}).items():
            total[name] = total.get(name, Decimal(0)) + quantity(amount)
    return total


def _is_local(volume: Mapping[str, Any]) -> bool:
    on_disk = "emptyDir" in volume and (volume["emptyDir"] or {}).get("medium") != "Memory"
    return on_disk or "hostPath" in volume
