"""Stand for the API server and the run's reporter, and make objects as the server spells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import Kind, Object
from ebbtide.infra.platforms.kubernetes.naming import ROLE

CLUSTER = ClusterId("heron-1")


@dataclass(slots=True)
class FakeApi:
    """Keeps what it is told; refuses everything while it is away."""

    namespace: str = "team"
    away: bool = False
    merged: list[tuple[str, str, Object]] = field(default_factory=list)
    """Kind with its part, name and change."""
    deleted: list[str] = field(default_factory=list)
    ran: list[tuple[str, str]] = field(default_factory=list)
    """The pod of each command; its container and last word."""
    answer: Any = None
    asked: int = 0

    def merge(self, kind: Kind, name: str, change: Object, *, part: str = "") -> Object:
        self._check()
        self.merged.append((f"{kind.name}/{part}".strip("/"), name, change))
        return change

    def delete(self, kind: Kind, name: str, *, grace_s: int) -> bool:
        self._check()
        self.deleted.append(name)
        return bool(kind.name and grace_s)

    def ask(self, request: object, *, patience_s: float) -> Any:
        del request, patience_s
        self.asked += 1
        self._check()
        return self.answer

    def get(self, kind: Kind, name: str) -> Any:
        del kind, name
        self._check()
        return self.answer.pop(0) if isinstance(self.answer, list) else self.answer

    def run(self, pod: str, container: str, argv: Sequence[str]) -> FakeExec:
        self._check()
        self.ran.append((pod, f"{container} {argv[-1]}"))
        return FakeExec()

    def _check(self) -> None:
        if self.away:
            raise ApiError(0, "Away", "nobody answers")


class FakeExec:
    """A command that has ended."""

    def __enter__(self) -> FakeExec:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self, timeout_s: float) -> None:
        del timeout_s


class Told:
    """Stands for the reporter."""

    def __init__(self) -> None:
        self.view = ClusterView(cluster=CLUSTER)
        self.events: list[tuple[EventKind, str]] = []

    @property
    def messages(self) -> list[str]:
        return [message for _, message in self.events]

    def event(self, kind: EventKind, message: str, **_: object) -> None:
        self.events.append((kind, message))

    def update(self, **_: object) -> None:
        pass


@dataclass(slots=True)
class Clock:
    """Moves when told."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


def pod(name: str, role: str = "worker", **metadata: Any) -> Object:
    """A pod that runs on a node."""
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {ROLE: role}, **metadata},
        "spec": {"nodeName": "node-a"},
        "status": {"phase": "Running"},
    }


def deployment(replicas: int, version: str = "7") -> Object:
    return {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}


def autoscaler(minimum: int = 1, maximum: int = 8, **status: Any) -> Object:
    """An HPA at 80 % of CPU and memory."""
    metrics = [
        {"resource": {"name": name, "target": {"averageUtilization": 80}}}
        for name in ("cpu", "memory")
    ]
    spec = {"minReplicas": minimum, "maxReplicas": maximum, "metrics": metrics}
    return {"spec": spec, "status": status}


def used(**percent: int) -> list[Object]:
    """An HPA's ``currentMetrics``."""
    return [
        {"resource": {"name": name, "current": {"averageUtilization": value}}}
        for name, value in percent.items()
    ]


def says(name: str, status: str, reason: str, message: str = "") -> Object:
    """A condition."""
    return {"type": name, "status": status, "reason": reason, "message": message}
