"""Hardware tiers and node pools: what a user may ask for and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.infra.models.resources import NOTHING, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareTier:
    """A named machine shape that a worker or a head has."""

    name: str
    pool: str
    """The node pool it is taken from."""
    resources: Resources
    """What one worker asks for; also its memory limit."""
    price_per_hour: float = 0.0
    """In the catalog's currency; 0 when nobody is billed (this machine)."""
    frameworks: tuple[str, ...] = ()
    """The frameworks that may use it; empty means all."""
    drain_budget_s: float = 600.0
    """How long a leaving worker may take to finish its running tasks before it is ended anyway."""
    runs_at_once: int | None = None
    """At most so many runs with workers of this tier; None: as many as there is room for."""

    @property
    def threads(self) -> int:
        """The number of threads of a worker: its whole cores, at least one."""
        return max(1, self.resources.cpu_millis // 1000)

    def allows(self, framework: str) -> bool:
        """Whether a cluster of this framework may use the tier."""
        return not self.frameworks or framework in self.frameworks


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Equal nodes on which work is placed. The local platform has one: this machine, in shares."""

    name: str
    platform: str
    """``local`` or ``kubernetes``."""
    capacity: Resources
    """All there can ever be: its maximum number of nodes times one node, or this machine."""
    runs_per_owner: int | None = None
    """At most so many runs of one owner at once; None: as many as there is room for."""
    runs_waiting: int | None = None
    """At most so many runs wait for room, the next is refused; None: any number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One machine of a pool, as it is now."""

    name: str
    capacity: Resources
    """What runs of ours may have of it."""
    used: Resources = NOTHING
    """Held by runs now; more than the capacity when that was made smaller meanwhile."""
    ready: bool = True
    """Takes work."""

    @property
    def free(self) -> Resources:
        """What nobody holds, never below zero."""
        return (self.capacity - self.used).or_nothing
