"""What waits in a cluster and cannot start on the workers there are, as its head tells it.

Resources are named as users of all three frameworks know them from Ray: ``CPU`` (slots for tasks),
``memory`` (bytes), ``GPU``, and names of the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Amounts = dict[str, float]
"""How much of each resource; one that is not named is not needed, or not offered."""

TINY = 1e-6
"""Frameworks count in floating point: 0.1 ten times shall fit in 1."""


def fits(needs: Amounts, room: Amounts) -> bool:
    """Whether there is room for all that is needed."""
    return all(need <= room.get(name, 0.0) + TINY for name, need in needs.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What must be on one worker, so many times."""

    needs: Amounts
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """One thing that waits for room: tasks of one kind, an actor, a placement group, a barrier."""

    kind: str
    """In the framework's own word, singular: ``task``, ``actor``, ``placement group``."""
    units: tuple[Unit, ...]
    together: bool = False
    """Whether it can only start when there is room for all of its units at once."""
    apart: bool = False
    """Whether each unit must be on another worker."""
    label: str = ""
    """Of which function, stage or actor, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandFigures:
    """All that the head knows of work at one moment."""

    waiting: tuple[Demand, ...] = ()
    """What cannot start on the workers there are, beside what they are doing now. Not tasks that
    stand in line behind others for slots that exist: those are the backlog."""
    floor: tuple[Demand, ...] = ()
    """What the whole cluster must be able to hold when it is empty, whatever it does: what
    ``Client.wait_for_workers`` and ``ray.autoscaler.sdk.request_resources`` ask for."""
    backlog_tasks: int = 0
    """Tasks that run or stand in line for slots that exist, or that more workers would have."""
    backlog_s: float = 0.0
    """How long one slot would need for all of them, in seconds, as far as it is known."""
    used: Amounts = field(default_factory=dict)
    """What running tasks and living actors hold, on all workers together."""
