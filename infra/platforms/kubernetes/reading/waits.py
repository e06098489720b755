"""One thing that a cluster waits for, and when it is given up. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ebbtide.infra.models.cluster import Failure, WaitingView
from ebbtide.infra.models.phases import Reason, Step

QUOTA, SCHEDULING, IMAGE, STARTING, READINESS = range(5)
"""In the order in which they are looked at: what comes later cannot help what comes first."""


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
        return Failure(
            step=self.step,
            reason=reason,
            detail=f"{who}{self.message}",
            hint=self.hint,
            in_vain=self.allowed_s == 0,
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
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"
