"""What a store of runs gives back and takes: values, whatever keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.infra.models.resources import Resources


@dataclass(frozen=True, slots=True)
class Entry:
    """One cluster that waits for room or has it."""

    cluster: str
    run: str
    tier: str
    owner: str
    tier_most: int | None = None
    """Runs at once with its tier."""
    owner_most: int | None = None
    """Runs at once of its owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """A pool at one moment."""

    waiting: tuple[Entry, ...]
    """Clusters that wait for room, first come first."""
    holding: tuple[Entry, ...]
    """Clusters that have room."""
    used: Resources
    """Held by all of them together."""
