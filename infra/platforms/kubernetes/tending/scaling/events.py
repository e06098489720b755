"""What the HPA does and says, as events of the run and as one line.

The HPA scales first and writes its status after, so that a change of the number of workers is told
once the status has come, or a few seconds later without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.waiting import now_s

_STATUS_S = 5.0
"""So long the HPA's status may come after what it did."""
_BLIND_S = 90.0
"""So long it may be hindered: of pods that have just come there are no figures yet."""
_HINDERED = {
    "ScalingActive": (
        "the HPA cannot decide by use",
        "ebb doctor --platform kubernetes looks at the metrics API",
    ),
    "AbleToScale": (
        "the HPA cannot change the number of workers",
        "kubectl describe hpa says what it tries",
    ),
}
"""Conditions that are to be true: what it means when one is not, and what to do."""
_NAMES = {"cpu": "CPU", "memory": "memory"}
_LIMITS = {
    "TooManyReplicas": "at the maximum",
    "TooFewReplicas": "at the minimum",
    "ScaleUpLimit": "as fast as its policy allows",
    "ScaleDownLimit": "as fast as its policy allows",
}
_STABILISING = ("ScaleDownStabilized", "ScaleUpStabilized")


class ScalingEvents:
    """Tells a run how many workers are wanted, and why; and when the HPA cannot decide."""

    def __init__(self, policy: AutoscalePolicy, reporter: StatusReporter):
        self._policy, self._reporter = policy, reporter
        self._replicas: int | None = None
        self._changed: tuple[int, float] | None = None
        self._since_s: dict[str, float] = {}
        """Since when conditions are not as they should be, by their names."""
        self._told: set[str] = set()

    def tick(
        self, deployment: Object | None, autoscaler: Object | None, floor: tuple[int, str]
    ) -> None:
        """Tell what is new.

        Args:
            deployment: of the workers.
            autoscaler: the HPA; None before it is attached.
            floor: the lower bound of now, and why it is above the run's own minimum; an empty
                reason when it is not.
        """
        if deployment is None:
            return
        replicas = int(deployment["spec"].get("replicas", 1))
        if self._replicas is None or autoscaler is None:
            self._replicas = replicas
            return
        if replicas == self._replicas:
            self._changed = None
        elif self._changed is None or self._changed[0] != replicas:
            self._changed = (replicas, now_s())
        if self._changed is not None:
            decided = autoscaler.get("status", {}).get("desiredReplicas") == replicas
            raised = bool(floor[1]) and self._replicas < replicas <= floor[0]
            if decided or raised or now_s() - self._changed[1] > _STATUS_S:
                self._tell(self._replicas, replicas, autoscaler, floor, decided=decided or raised)
        self._look_at_conditions(autoscaler)

    def _tell(
        self,
        before: int,
        after: int,
        autoscaler: Object,
        floor: tuple[int, str],
        *,
        decided: bool,
    ) -> None:
        self._replicas, self._changed = after, None
        why = self._why(before, after, autoscaler, floor) if decided else "not by the autoscaler"
        used = dict(_used(autoscaler))
        self._reporter.event(
            EventKind.SCALED,
            f"workers {before} → {after}   {why}",
            before=before,
            after=after,
            why=why,
            cpu_percent=used.get("cpu", 0.0),
            memory_percent=used.get("memory", 0.0),
            leaving=[],
        )

    def _why(self, before: int, after: int, autoscaler: Object, floor: tuple[int, str]) -> str:
        if before < after <= floor[0] and floor[1]:
            return floor[1]
        highest = _highest(autoscaler)
        if after < before:
            window = format_duration(self._policy.scale_down_window_s)
            return f"{highest or 'no demand'} for {window}"
        return highest or "the HPA's decision"

    def _look_at_conditions(self, autoscaler: Object) -> None:
        for name, (message, hint) in _HINDERED.items():
            found = _condition(autoscaler, name)
            if found is None or found.get("status") != "False":
                self._since_s.pop(name, None)
                self._told.discard(name)
                continue
            since_s = self._since_s.setdefault(name, now_s())
            if name not in self._told and now_s() - since_s > _BLIND_S:
                self._told.add(name)
                said = f"{message}: {found.get('message', '')}"
                self._reporter.event(EventKind.WARNING, said, hint=hint)


def autoscaler_text(autoscaler: Object) -> str:
    """What an HPA says of itself, such as ``3 of 1..8 workers, CPU 97 % of 80 %, stabilising``."""
    spec, status = autoscaler["spec"], autoscaler.get("status", {})
    bounds = f"{spec.get('minReplicas', 1)}..{spec['maxReplicas']}"
    parts = [f"{status.get('desiredReplicas', 0)} of {bounds} workers"]
    targets = dict(_targets(autoscaler))
    parts += [
        f"{_NAMES[name]} {used:.0f} % of {targets.get(name, 0):.0f} %"
        for name, used in _used(autoscaler)
    ]
    active, able = _condition(autoscaler, "ScalingActive"), _condition(autoscaler, "AbleToScale")
    if active is not None and active.get("status") == "False":
        parts.append(f"no figures ({active.get('reason')}: {active.get('message')})")
    if able is not None and able.get("status") == "False":
        parts.append(f"cannot scale ({able.get('reason')}: {able.get('message')})")
    elif able is not None and able.get("reason") in _STABILISING:
        parts.append("stabilising")
    limited = _condition(autoscaler, "ScalingLimited")
    if limited is not None and limited.get("status") == "True":
        reason = str(limited.get("reason"))
        parts.append(_LIMITS.get(reason, reason))
    return ", ".join(parts)


def _condition(autoscaler: Object, name: str) -> Object | None:
    conditions = autoscaler.get("status", {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == name), None)


def _used(autoscaler: Object) -> Iterator[tuple[str, float]]:
    """Name and per cent of the requests of each metric that it has read."""
    for metric in autoscaler.get("status", {}).get("currentMetrics") or ():
        resource = metric.get("resource") or {}
        percent = resource.get("current", {}).get("averageUtilization")
        if resource.get("name") in _NAMES and percent is not None:
            yield resource["name"], float(percent)


def _targets(autoscaler: Object) -> Iterator[tuple[str, float]]:
    for metric in autoscaler["spec"].get("metrics") or ():
        resource: dict[str, Any] = metric.get("resource") or {}
        if resource.get("name") in _NAMES:
            yield resource["name"], float(resource["target"].get("averageUtilization", 0))


def _highest(autoscaler: Object) -> str:
    """The metric that decides: the one that is the highest of its target."""
    targets = dict(_targets(autoscaler))
    known = [
        (used / targets[name], name, used) for name, used in _used(autoscaler) if targets.get(name)
    ]
    if not known:
        return ""
    _, name, used = max(known)
    return f"{_NAMES[name]} {used:.0f} %"
