"""The HPA's floor: what waits, and workers that hold what cannot move, keep minReplicas up.

The HPA sees use. What reserves before it computes uses nothing while it waits, and a worker that
holds actors uses nothing either; both are a lower bound here, between the run's own bounds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import AUTOSCALER, DEPLOYMENT, Object
from ebbtide.infra.platforms.kubernetes.naming import workers_name
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.demand import Wanted
from ebbtide.infra.waiting import now_s

_SEEN_AFTER_S = 5.0
"""Until then what was written may not have come back by the watch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorState:
    """What demand wanted within the scale-down window. Times are the caller's ``now_s``."""

    wanted: tuple[tuple[float, int, str], ...] = ()
    """When, how many workers, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The lower bound, and why it is there."""

    workers: int
    reason: str
    """For people; empty when it is the run's own minimum."""
    held: bool
    """Whether workers that hold what cannot move decide it."""
    state: FloorState


def decide(
    policy: AutoscalePolicy, demand: Wanted, staying: int, state: FloorState, now_s: float
) -> Decision:
    """Decide how low the HPA may go. Up at once; down when demand was lower for the whole window.

    Args:
        policy: bounds, the window, and whether demand counts.
        demand: what waits now.
        staying: how many workers must not be chosen to leave.
        state: that of the previous decision; ``FloorState()`` at first.
        now_s: monotonic seconds.

    Returns:
        The decision, with the state for the next call.
    """
    asked = demand.workers if "demand" in policy.scale_on else 0
    start_s = now_s - policy.scale_down_window_s
    recent = tuple(each for each in state.wanted if each[0] > start_s)
    recent = (*_higher(recent, asked), (now_s, asked, demand.reason))
    _, highest, why = max(recent, key=lambda each: each[1])
    held = staying > max(highest, policy.min_workers)
    workers = max(policy.min_workers, min(policy.max_workers, max(highest, staying)))
    reason = f"{staying} workers hold what cannot move" if held else why
    return Decision(
        workers=workers,
        reason=reason if workers > policy.min_workers else "",
        held=held,
        state=FloorState(wanted=recent),
    )


def _higher(
    recent: tuple[tuple[float, int, str], ...], asked: int
) -> tuple[tuple[float, int, str], ...]:
    """Those that a new one does not outlast: one a second for minutes need not be kept."""
    return tuple(each for each in recent if each[1] > asked)


class Floor:
    """Keeps ``minReplicas`` where it must be."""

    def __init__(
        self, api: Api, cluster: ClusterId, policy: AutoscalePolicy, reporter: StatusReporter
    ):
        """Write nothing yet.

        Args:
            api: of the namespace.
            cluster: its id.
            policy: of its workers.
            reporter: is told when workers stay though the HPA would let them go.
        """
        self.workers = policy.min_workers
        """The lower bound now."""
        self.reason = ""
        """Why it is above the run's own; empty when it is not."""
        self._api, self._name, self._policy = api, workers_name(cluster), policy
        self._reporter = reporter
        self._state = FloorState()
        self._written: tuple[int, float] = (-1, 0.0)
        self._said = ""

    def tick(
        self,
        autoscaler: Object | None,
        deployment: Object | None,
        demand: Wanted,
        staying: Mapping[str, str],
    ) -> None:
        """Decide, and write what is new. Only with an answer of the head: silence is no answer.

        Args:
            autoscaler: the HPA as it was seen last; None: it is not attached, nothing is done.
            deployment: of the workers.
            demand: what waits now.
            staying: name and reason of each worker that must not be chosen to leave.
        """
        found = decide(self._policy, demand, len(staying), self._state, now_s())
        self._state = found.state
        self.workers, self.reason = found.workers, found.reason
        if autoscaler is None:
            return
        self._write(int(autoscaler["spec"].get("minReplicas", 1)), deployment)
        if found.held and limited_by_floor(autoscaler):
            self._say("; ".join(f"{name} stays: {why}" for name, why in sorted(staying.items())))

    def _write(self, written: int, deployment: Object | None) -> None:
        value, at_s = self._written
        same = value == self.workers and now_s() - at_s < _SEEN_AFTER_S
        if written == self.workers or same:
            return
        with contextlib.suppress(ApiError):  # it is asked again at the next tick
            self._api.merge(AUTOSCALER, self._name, {"spec": {"minReplicas": self.workers}})
            self._written = (self.workers, now_s())
            if deployment is not None and deployment["spec"].get("replicas", 1) < self.workers:
                self._grow(deployment)

    def _grow(self, deployment: Object) -> None:
        """Let the workers come now: the HPA itself would, up to 15 s later.

        Only if nobody has changed the Deployment since it was seen: what the HPA wants may be more.
        """
        version = deployment["metadata"]["resourceVersion"]
        change = {"metadata": {"resourceVersion": version}, "spec": {"replicas": self.workers}}
        self._api.merge(DEPLOYMENT, self._name, change, part="scale")

    def _say(self, message: str) -> None:
        if message != self._said:
            self._said = message
            self._reporter.event(EventKind.NOTE, message)


def limited_by_floor(autoscaler: Object) -> bool:
    """Whether the HPA would have fewer workers, were there no lower bound."""
    conditions = autoscaler.get("status", {}).get("conditions") or ()
    return any(
        each.get("type") == "ScalingLimited"
        and each.get("status") == "True"
        and each.get("reason") == "TooFewReplicas"
        for each in conditions
    )
