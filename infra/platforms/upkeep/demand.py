"""What waits in a cluster, looked at once a second: for the scaler, and told when it can never run.

The rule is ``infra.policy.demand``; this remembers for how long something has been so.
"""

from __future__ import annotations

from dataclasses import replace

from ebbtide.infra.frameworks.base import Framework, FrameworkStatus
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.demand import Demand
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.demand import CannotRun, Room, Wanted, fitting, wanted
from ebbtide.infra.waiting import now_s

_SETTLED_S = 15.0
"""What has waited for so long, with all workers there, does not fit what is free on them. Spark
looks whether a barrier stage has its slots every 5 s."""
_SURE_S = 3.0
"""What can never run is told after this time: a head may list what it is about to place."""


class DemandWatch:
    """Turns what the head tells into a number of workers."""

    def __init__(self, spec: ClusterSpec, framework: Framework, reporter: StatusReporter):
        self.wanted = Wanted()
        self._spec = spec
        self._room = _room(spec, framework)
        self._offers = {
            tier.name: framework.offer(replace(spec, tier=tier)) for tier in spec.choice
        }
        self._reporter = reporter
        self._waiting: tuple[tuple[Demand, ...], int] = ((), 0)
        self._waiting_since_s = 0.0
        self._stuck: tuple[CannotRun, ...] = ()
        self._stuck_since_s = 0.0
        self._said: set[str] = set()

    def look(self, status: FrameworkStatus, workers: int, *, all_joined: bool) -> None:
        """Judge what the head tells now.

        Args:
            status: the head's answer.
            workers: that have not been asked to leave.
            all_joined: whether all of them have registered.
        """
        seen = (status.demand.waiting, workers)
        if seen != self._waiting or not all_joined:
            self._waiting, self._waiting_since_s = seen, now_s()
        settled = bool(seen[0]) and now_s() - self._waiting_since_s >= _SETTLED_S
        self.wanted = wanted(status.demand, self._room, unplaced_on=workers if settled else 0)
        self._tell()

    def _tell(self) -> None:
        stuck = self.wanted.cannot_run
        if stuck != self._stuck:
            self._stuck, self._stuck_since_s = stuck, now_s()
        if stuck and now_s() - self._stuck_since_s < _SURE_S:
            return
        self._reporter.update(cannot_run=str(stuck[0]) if stuck else "")
        for problem in stuck:
            if str(problem) not in self._said:
                self._said.add(str(problem))
                self._reporter.event(
                    EventKind.WARNING,
                    f"cannot run: {problem}",
                    reason=Reason.CANNOT_RUN,
                    hint=self._hint(problem),
                )

    def _hint(self, problem: CannotRun) -> str:
        if problem.needs is None:
            return f"ask for more (--workers {self._spec.policy.min_workers}..MAX), or need fewer"
        tier = fitting(problem, self._offers)
        if tier:
            return f"a worker of tier {tier} would fit: --tier {tier}"
        return f"no tier of pool {self._spec.pool.name} offers that; ebb tiers lists them"


def _room(spec: ClusterSpec, framework: Framework) -> Room:
    """The run's bounds and the pool's, whichever is less."""
    beside_head = spec.pool.capacity - spec.head_tier.resources
    fit = spec.tier.resources.how_often_in(beside_head)
    allowed = spec.policy.max_workers
    return Room(
        offer=framework.offer(spec),
        tier=spec.tier.name,
        max_workers=min(allowed, fit),
        bound=f"--workers allows {allowed}"
        if allowed <= fit
        else f"pool {spec.pool.name} holds {fit}",
        target_backlog_s=spec.policy.target_backlog_s,
    )
