"""One thing that a cluster waits for, and the table of when each kind is given up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ebbtide.infra.models.cluster import Failure, WaitingView
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import format_duration

QUOTA, SCHEDULING, IMAGE, STARTING, READINESS = range(5)
"""In the order in which they are looked at: what comes later cannot help what comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """How long each kind of wait may last, in seconds.

    None: it is a queue, in which only the run's own time to start (``--start-within``) counts.
    """

    quota_used_up_s: float | None = None
    """Those who use it up give it back when they end."""
    refused_s: float = 120.0
    """Refused in words that are not known: a webhook that restarts allows it soon."""
    scheduler_s: float = 300.0
    """No word of the scheduler: it begins within a second, also behind thousands of pods within a
    minute; a control plane that is upgraded is back in five."""
    no_such_pool_s: float = 120.0
    """No node is of the pool, and what makes nodes, if anything does, does not speak of it."""
    no_answer_s: float = 600.0
    """A pool that may grow, and no word of what would make nodes. An autoscaler looks every ten
    seconds, but says nothing of a pod for which a node boots that was ordered for others."""
    no_growth_s: float = 300.0
    """It has refused, in words that are none of those below: its next looks say the same."""
    at_maximum_s: float | None = None
    """Nodes get free when other runs end."""
    back_off_s: float = 600.0
    """The cloud had no machine. Cluster Autoscaler tries again after five minutes: twice is
    enough, as every further pause is twice as long."""
    image_s: float = 25.0
    """From a registry's first answer until a pull that fails again and again is given up: its node
    has then tried at 0 and 10 s, and the run has ended and been released before 30 s are over."""
    container_s: float = 30.0
    """A container that cannot be made: what is missing may be on its way, such as a Secret."""
    container_passes_s: float = 18.0
    """Until then nothing is wrong: a node that has not heard of a Secret tries again after 10 to
    15 seconds."""
    operator_s: float = 20.0
    """No pod of Dask's operator: it takes a cluster up within two seconds, or is not there."""
    command_s: float = 5.0
    """A command that cannot be started: a second try is over."""
    sandbox_s: float = 120.0
    """Volumes and network of a pod: on a node that has just booted they come late."""
    sandbox_passes_s: float = 30.0
    """Until then nothing is wrong: the node tries again after 0.5, 1, 2, 4, 8 and 16 seconds."""


_FIRST = ("head", "program")
"""They are named before the workers."""
DEADLINES = Deadlines()
"""Beside them a pool's own ``node-within`` counts for a node that was ordered, its ``pull-within``
for an image that nothing is said of, and
``infra.frameworks.plan.Timeouts`` for what runs and does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why one pod, or some that are not made, are late."""

    rank: int
    message: str
    """Without who waits and how long; it changes only when something happens."""
    reason: Reason | None = None
    """None where nothing is wrong."""
    hint: str = ""
    since: float | None = None
    """Unix seconds of the server; None: not told, so since it was seen first."""
    allowed_s: float | None = None
    """It has failed after so long; 0: at once, and would again; None: the run's own time to start
    is all that counts."""
    grows: bool = False
    """Whether a node is on its way."""
    who: tuple[str, ...] = ()
    step: Step = Step.WAIT_FOR_NODES
    fails_as: Reason | None = None
    """The reason of the failure, where it is another one."""

    def view(self, last: WaitingView | None, now: float) -> WaitingView:
        """As it is shown; since when it is so stays what it was."""
        message = f"{_enumerated(self.who)}: {self.message}" if self.who else self.message
        same = last is not None and (last.message, last.reason) == (message, self.reason)
        seen = last.since if same and last is not None else now
        return WaitingView(
            message=message,
            reason=self.reason,
            hint=self.hint,
            since=seen if self.since is None else self.since,
            grows=self.grows,
        )

    def failure(self, last: WaitingView | None, now: float) -> Failure | None:
        """Why it will not be waited for any more; None while it will."""
        if self.allowed_s is None:
            return None
        since = self.view(last, now).since
        reason = self.fails_as or self.reason
        if reason is None or now - since < self.allowed_s:
            return None
        who = f"{_enumerated(self.who)}: " if self.who else ""
        for_a_node = self.rank == SCHEDULING
        late = f"; given up after {format_duration(self.allowed_s)}" if for_a_node else ""
        return Failure(
            step=self.step,
            reason=reason,
            detail=f"{who}{self.message}{late if self.allowed_s else ''}",
            hint=self.hint,
            in_vain=for_a_node or self.allowed_s == 0,  # a fresh cluster asks the same pool
        )


def merged(waits: Sequence[Wait]) -> list[Wait]:
    """What is the same for several, once, with all their names; what comes first is first."""
    found: dict[tuple[str, Reason | None], Wait] = {}
    for wait in sorted(waits, key=lambda each: each.rank):
        key = wait.message, wait.reason
        before = found.get(key)
        if before is None:
            found[key] = wait
        else:
            times = [at for at in (before.since, wait.since) if at is not None]
            found[key] = replace(before, who=before.who + wait.who, since=min(times, default=None))
    return list(found.values())


def _enumerated(names: Sequence[str]) -> str:
    """In one order, whichever pod was read first: the same sentence is told once."""
    names = sorted(names, key=lambda name: (name not in _FIRST, len(name), name))
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"
