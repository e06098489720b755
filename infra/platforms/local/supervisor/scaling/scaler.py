"""The autoscaler's hands: the pure policy decides, workers are added or asked to leave."""

from __future__ import annotations

from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.local.pool import try_grow
from ebbtide.infra.platforms.local.supervisor.members import Members
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy import scaling
from ebbtide.infra.policy.demand import Wanted
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import now_s


class Scaler:
    """Runs the policy every sync period once it is attached."""

    def __init__(
        self,
        policy: AutoscalePolicy,
        members: Members,
        pool: NodePool,
        ledger: Ledger,
        reporter: StatusReporter,
    ):
        self.policy = policy
        self._members = members
        self._pool = pool
        self._ledger = ledger
        self._reporter = reporter
        self._state = scaling.ScalingState()
        self._next_s = 0.0
        self._said = ""

    def tick(self, demand: Wanted) -> None:
        """Decide and act, when it is time; ``demand`` is what waits now."""
        if now_s() < self._next_s:
            return
        self._next_s = now_s() + self.policy.sync_period_s
        figures = self._members.figures()
        declared = len(figures)
        decision = scaling.decide(self.policy, figures, declared, self._state, now_s(), demand)
        self._state = decision.state
        if decision.desired > declared:
            self._grow(declared, decision)
        elif decision.desired < declared:
            self._shrink(declared, decision)

    def replace_lost(self) -> None:
        """Start a worker where one died, so that the wanted number is kept."""
        if self._take_share():
            self._members.start_worker()

    def _grow(self, declared: int, decision: scaling.Decision) -> None:
        added = 0
        while declared + added < decision.desired and self._take_share():
            self._members.start_worker()
            added += 1
        if added:
            self._report(declared, declared + added, decision)
        if declared + added < decision.desired:
            self._say_no_room(decision.desired, declared + added)

    def _shrink(self, declared: int, decision: scaling.Decision) -> None:
        leavers = scaling.choose_leavers(self._members.figures(), declared - decision.desired)
        for name in leavers.names:
            self._members.ask_to_leave(name)
        if leavers.names:
            self._report(declared, declared - len(leavers.names), decision, leavers.names)
        if leavers.kept:
            message = "; ".join(f"{name} stays: {why}" for name, why in leavers.kept)
            self._say_once(message)

    def _take_share(self) -> bool:
        plan, name = self._members.plan, self._members.next_name()
        room = try_grow(self._ledger, plan.cluster, self._pool, name, plan.spec.tier.resources)
        return room is None

    def _report(
        self, before: int, after: int, decision: scaling.Decision, leaving: tuple[str, ...] = ()
    ) -> None:
        self._said = ""
        self._reporter.update(workers_wanted=after)
        self._reporter.event(
            EventKind.SCALED,
            f"workers {before} → {after}   {decision.reason}",
            before=before,
            after=after,
            why=decision.reason,
            cpu_percent=round(decision.cpu_percent, 1),
            memory_percent=round(decision.memory_percent, 1),
            leaving=list(leaving),
        )

    def _say_no_room(self, wanted: int, got: int) -> None:
        message = f"{wanted} workers wanted, pool {self._pool.name} has room for {got}"
        self._say_once(message, reason=Reason.POOL_AT_MAX)

    def _say_once(self, message: str, reason: Reason | None = None) -> None:
        if message != self._said:
            self._said = message
            self._reporter.event(EventKind.NOTE, message, reason=reason)
