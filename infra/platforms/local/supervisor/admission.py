"""Steps 1 and 2: waiting for room in the pool, and saying where one stands."""

from __future__ import annotations

from ebbtide.infra.models.cluster import ClusterView, Failure, QueueView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.resources import Resources, format_duration
from ebbtide.infra.platforms.local.neighbours import neighbours
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.platforms.local.pool import try_admit
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.limits import awaited_step
from ebbtide.infra.waiting import now_s

_LOOK_ANYWAY_S = 1.0
_LOOK_PER_POSITION_S, _MAX_PAUSE_S = 0.1, 2.0
_CLEAR_EVERY_S = 5.0


class Admission:
    """Stands in the queue until the pool has room for the head and the minimum of workers."""

    def __init__(
        self, spec: RunSpec, cluster: ClusterId, platform: LocalPlatform, reporter: StatusReporter
    ):
        self.admitted = False
        self._spec = spec
        self._cluster = cluster
        self._platform = platform
        self._ledger = platform.ledger
        self._reporter = reporter
        self._version = -1
        self._looked_s = -_LOOK_ANYWAY_S
        self._requested = False
        self._cleared_s = now_s()
        self._position = 0

    @property
    def patience_s(self) -> float:
        """How long until the next look: who stands far behind need not look often.

        A hundred that all look at every change would take the machine from those who run.
        """
        return min(_MAX_PAUSE_S, _LOOK_PER_POSITION_S * max(0, self._position - 1))

    def shares(self) -> dict[str, Resources]:
        """What is admitted together: the head (with the driver in it) and the first workers."""
        spec = self._spec.cluster
        if not spec.has_workers:
            return {"driver": spec.tier.resources}
        workers = {f"worker-{i}": spec.tier.resources for i in range(spec.policy.min_workers)}
        return {"head": spec.head_tier.resources, **workers}

    def try_now(self) -> bool:
        """Look whether it is our turn; True from the moment of admission on."""
        self._say_requested()
        version = self._ledger.version()
        if version == self._version and now_s() - self._looked_s < _LOOK_ANYWAY_S:
            return False
        self._version, self._looked_s = version, now_s()
        view = try_admit(self._ledger, self._cluster, self._spec.cluster.pool, self.shares())
        self._position = view.position if view is not None else 0
        if view is not None:
            self._clear_the_way(view)
            self._wait(view)
            return False
        self.admitted = True
        shares = self.shares()
        self._reporter.update(queue=None, admitted_at=self._reporter.now())
        total = sum(shares.values(), start=Resources(0, 0))
        count, pool = len(shares), self._spec.cluster.pool.name
        message = f"{count} share{'s' * (count > 1)} of pool {pool} ({total})"
        self._reporter.done(Step.WAIT_FOR_NODES, message)
        beside = neighbours(self._platform.settings.home).message
        if beside:
            self._reporter.event(EventKind.NOTE, beside)
        return True

    def _say_requested(self) -> None:
        if not self._requested:
            self._requested = True
            tier, pool = self._spec.cluster.tier.name, self._spec.cluster.pool.name
            self._reporter.done(Step.REQUEST_HARDWARE_TIER, f"{tier} fits pool {pool}")

    def _clear_the_way(self, view: QueueView) -> None:
        """Room that a dead run holds, or its place in the queue, must not wait for a reaper.

        The first does it for all who wait, because it reads what every process is; if the first
        is dead itself, all do.
        """
        if now_s() - self._cleared_s < _CLEAR_EVERY_S:
            return
        self._cleared_s = now_s()
        if view.ahead and all(
            self._platform.supervised(cluster.id)
            for cluster in self._ledger.living_clusters(view.ahead[0])
        ):
            return
        for cluster in self._platform.orphans():
            self._platform.sweep(cluster)

    def _wait(self, view: QueueView) -> None:
        if view != self._reporter.view.queue:
            self._reporter.update(queue=view)
            beside = neighbours(self._platform.settings.home).message
            why = _why(view) + (f"; besides, {beside}" if beside else "")
            self._reporter.event(
                EventKind.STEP_WAITING,
                why,
                step=Step.WAIT_FOR_NODES,
                reason=view.reason,
                position=view.position,
                ahead=list(view.ahead),
                held_by=list(view.held_by),
            )


def not_in_time(view: ClusterView, allowed_s: float) -> Failure:
    """What a run that has not started in its time was waiting for.

    Args:
        view: what its cluster is.
        allowed_s: from its request to its start, in seconds.
    """
    allowed, step = format_duration(allowed_s), awaited_step(view)
    if view.queue is not None:
        detail = f"no room in {allowed}: {_why(view.queue)}"
        hint = "stop a run of yours (ebb ps), ask for less, or allow more with --start-within"
    else:
        detail = f"still at {step} after {allowed}"
        hint = "allow more with --start-within; ebb logs shows what head and workers say"
    return Failure(step=step, reason=Reason.NOT_IN_TIME, detail=detail, hint=hint)


def _why(view: QueueView) -> str:
    held = ", ".join(view.held_by) or "nobody"
    place = f"position {view.position} in the queue"
    if view.ahead:
        place += f" behind {', '.join(view.ahead)}"
    if view.limit:
        return f"{view.limit}; {place}"
    return f"pool {view.pool} has {view.free} free, {view.asked} asked; held by {held}; {place}"
