"""All objects of one cluster at one moment, as the API server spells them, and how to read them.

Main containers are found by name: beside them others may run (``files``), so that a pod's phase
says little, and it lags behind the containers by a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import (
    PROGRAM,
    RELEASING,
    ROLE,
    driver_name,
    head_name,
    program_name,
    workers_name,
)
from ebbtide.infra.platforms.kubernetes.spelling import unix_time

HEAD, WORKER, DRIVER = "head", "worker", "driver"
"""Roles of pods."""
_STARTED = "Started"
"""A kubelet's event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One cluster at one moment."""

    cluster: ClusterId
    now: float
    """Unix time in seconds, on the server's clock: it is compared with the server's times."""
    lease: Object | None = None
    """None: it has been released, or never was declared."""
    pods: tuple[Object, ...] = ()
    deployment: Object | None = None
    autoscaler: Object | None = None
    replica_sets: tuple[Object, ...] = ()
    events: tuple[Object, ...] = ()
    """Of this cluster's objects, oldest first; only read while something is pending."""
    pool_status: Mapping[str, Any] = field(default_factory=dict)
    """The pool in Cluster Autoscaler's status document; empty where it cannot be read."""
    gone: Mapping[str, Object] = field(default_factory=dict)
    """Pods that were deleted while they were watched, by name, as they were at their end."""
    node_claims: Mapping[str, Object | None] = field(default_factory=dict)
    """Karpenter's, by name: those that its events promise to pods, as far as they have been looked
    up; None: it has gone. Empty where they may not be read."""
    version: int = 0
    """Grows with each change."""

    @property
    def head(self) -> Object | None:
        """The head's pod."""
        return head_of(self.pods)

    @property
    def head_pod(self) -> str:
        """The name of the head's pod, also before it is there."""
        head = self.head
        return str(head["metadata"]["name"]) if head is not None else head_name(self.cluster)

    @property
    def driver(self) -> Object | None:
        """The pod of the user's program."""
        return self._named(driver_name(self.cluster))

    @property
    def programs(self) -> dict[str, Object]:
        """The pods of other programs on a held cluster, by the programs' names."""
        named = ((pod["metadata"].get("annotations") or {}, pod) for pod in self.pods)
        return {told[PROGRAM]: pod for told, pod in named if PROGRAM in told}

    @property
    def workers(self) -> tuple[Object, ...]:
        """The pods of workers in order of their creation, also those that leave."""
        found = (pod for pod in self.pods if role(pod) == WORKER)
        return tuple(sorted(found, key=_age))

    @property
    def releasing(self) -> bool:
        """Whether it is being given back."""
        if self.lease is None:
            return True
        marks = self.lease["metadata"].get("annotations") or {}
        return leaving(self.lease) or RELEASING in marks

    def events_of(self, pod: Object) -> Iterator[Object]:
        """The events about a pod, oldest first; not about another pod that had its name."""
        meta = pod["metadata"]
        for event in self.events:
            about = event.get("involvedObject") or {}
            if about.get("name") != meta["name"] or about.get("kind") != "Pod":
                continue
            if about.get("uid") in (None, "", meta.get("uid")):
                yield event

    def has_begun(self, pod: Object | None, container: str) -> bool:
        """Whether a container of a pod runs, also when only an event has told of it until now.

        A node looks at its containers once a second, and until then it does not count one that it
        has started among those that run. Its event is there at once.
        """
        if pod is None or runs(pod, container):
            return pod is not None
        if not is_awaited(pod, container):
            return False
        where = f"spec.containers{{{container}}}"
        return any(
            event.get("reason") == _STARTED and event["involvedObject"].get("fieldPath") == where
            for event in self.events_of(pod)
        )

    def _named(self, name: str) -> Object | None:
        return next((pod for pod in self.pods if pod["metadata"]["name"] == name), None)


def of_cluster(event: Object, cluster: ClusterId) -> bool:
    """Whether an event of the namespace is about an object of this cluster."""
    name = str((event.get("involvedObject") or {}).get("name", ""))
    workers = workers_name(cluster)
    mine = (head_name(cluster), driver_name(cluster), workers)
    operators = (f"{cluster}-scheduler-", f"{cluster}-default-worker-")
    return name in mine or name.startswith((f"{workers}-", program_name(cluster, ""), *operators))


def role(pod: Object) -> str:
    """``head``, ``worker`` or ``driver``."""
    return str((pod["metadata"].get("labels") or {}).get(ROLE, ""))


def head_of(pods: Iterable[Object]) -> Object | None:
    """The head's among pods of one cluster, and rather one that stays; None: it is not there.

    One that Dask's operator has made has a name of its own.
    """
    heads = sorted((pod for pod in pods if role(pod) == HEAD), key=_age)
    return next((pod for pod in heads if not leaving(pod)), next(iter(heads), None))


def main_name(pod: Object) -> str:
    """What a pod's main container is called: it is its first."""
    containers = pod.get("spec", {}).get("containers") or ()
    return str(containers[0]["name"]) if containers else role(pod)


def main(pod: Object) -> Object | None:
    """The status of a pod's main container; None before its node knows of it."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return next((each for each in statuses if each.get("name") == main_name(pod)), None)


def state(pod: Object, which: str) -> Object | None:
    """``waiting``, ``running`` or ``terminated`` of the main container; None when it is not so."""
    status = main(pod)
    found = (status or {}).get("state", {}).get(which)
    return found if isinstance(found, dict) else None


def runs(pod: Object | None, container: str) -> bool:
    """Whether a container of a pod runs; none does of a pod that is not there."""
    statuses = pod.get("status", {}).get("containerStatuses") or () if pod is not None else ()
    return any(s["name"] == container and "running" in s["state"] for s in statuses)


def is_awaited(pod: Object, container: str) -> bool:
    """Whether a container of a pod has not run yet, as far as its status says."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    found = next((each for each in statuses if each["name"] == container), None)
    if found is None:
        return True
    return "waiting" in found["state"] and not found.get("restartCount")


def condition(thing: Object, name: str) -> Object | None:
    """One condition of an object's status."""
    conditions = thing.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == name), None)


def holds(thing: Object, name: str) -> bool:
    """Whether a condition is true."""
    return (condition(thing, name) or {}).get("status") == "True"


def changed_at(thing: Object, name: str) -> float | None:
    """Since when a condition is as it is, in Unix seconds."""
    return moment((condition(thing, name) or {}).get("lastTransitionTime"))


def ready_at(pod: Object) -> float | None:
    """Since when a pod is ready; None when it is not, or not all of it."""
    return changed_at(pod, "Ready") if holds(pod, "Ready") else None


def leaving(thing: Object) -> bool:
    """Whether it is being deleted."""
    return "deletionTimestamp" in thing["metadata"]


def placed(pod: Object) -> bool:
    """Whether it has a node."""
    return bool(pod.get("spec", {}).get("nodeName"))


def node_of(pod: Object) -> str:
    """The name of its node; empty when it has none."""
    return str(pod.get("spec", {}).get("nodeName") or "")


def is_ready(pod: Object) -> bool:
    """Whether its main container says so, and its node has been heard of."""
    status = main(pod)
    if status is None or not status.get("ready") or leaving(pod):
        return False
    return not node_silent(pod)


def node_silent(pod: Object) -> bool:
    """Whether its node is not heard of: the pod is not ready, though all its containers were."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    all_ready = bool(statuses) and all(each.get("ready") for each in statuses)
    ready = condition(pod, "Ready")
    # With the kubelet's own words there is another cause, such as a readiness gate.
    silent = ready is not None and ready.get("status") != "True" and not ready.get("reason")
    return all_ready and silent


def moment(text: object) -> float | None:
    """A time of the server's in Unix seconds; None for what is none, such as 1970's first."""
    if not isinstance(text, str):
        return None
    try:
        return unix_time(text) or None
    except ValueError:
        return None


def happened(event: Object) -> float:
    """When an event happened last; 0 when it does not say."""
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return next((at for text in times if (at := moment(text)) is not None), 0.0)


def began(event: Object) -> float:
    """When an event happened first."""
    times = (
        event.get("firstTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    return next((at for text in times if (at := moment(text)) is not None), 0.0)


def source(event: Object) -> str:
    """Who says it."""
    component = (event.get("source") or {}).get("component")
    return str(component or event.get("reportingComponent") or "")


def _age(pod: Object) -> tuple[float, str]:
    meta = pod["metadata"]
    return moment(meta.get("creationTimestamp")) or 0.0, str(meta["name"])


def worker_names(pods: tuple[Object, ...], known: Mapping[str, str]) -> dict[str, str]:
    """Names for the pods of workers: ``worker-0``, ``worker-1`` and so on, in order of creation.

    Args:
        pods: of workers; others are left out.
        known: names that were given before. They stay, and are never given again.

    Returns:
        The name by the pod's own, of those there are and those there were.
    """
    names = dict(known)
    following = 1 + max((int(name.rpartition("-")[2]) for name in known.values()), default=-1)
    for pod in sorted((pod for pod in pods if role(pod) == WORKER), key=_age):
        if pod["metadata"]["name"] not in names:
            names[pod["metadata"]["name"]] = f"worker-{following}"
            following += 1
    return names
