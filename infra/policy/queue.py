"""Whose turn it is in a pool: first come, first served, among those that no limit holds back.

Pure. Limits of runs at once are Ebb's own and not Prefect's: Prefect's concurrency limits know no
order (whoever asks at the right moment gets the slot), no position to tell, and keep a dead run's
slot for a minute; here a place is given back with the cluster.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Entry


@dataclass(frozen=True, slots=True)
class QueuePosition:
    """Where a cluster that waits stands in its pool."""

    ahead: tuple[RunName, ...]
    """Runs that come before it, in order."""
    limit: str = ""
    """The rule that holds it back; empty when only room and those before it do."""


def places(waiting: Sequence[Entry], holding: Iterable[Entry]) -> dict[str, QueuePosition]:
    """Return the place of each cluster that waits.

    A cluster that a limit holds back stands behind those that the same limit holds back before it,
    and in nobody else's way.

    Args:
        waiting: clusters that wait, first come first.
        holding: clusters that have room.

    Returns:
        The position of each waiting cluster, by its id.
    """
    tiers: Counter[str] = Counter()
    owners: Counter[str] = Counter()
    for entry in holding:
        tiers[entry.tier] += 1
        owners[entry.owner] += 1
    found: dict[str, QueuePosition] = {}
    lines: dict[str, list[RunName]] = {}
    for entry in waiting:
        limit = _limit(entry, tiers, owners)
        line = lines.setdefault(limit, [])
        found[entry.cluster] = QueuePosition(tuple(line), limit)
        line.append(entry.run)
        if not limit:  # those behind it must not count on a slot that it will take
            tiers[entry.tier] += 1
            owners[entry.owner] += 1
    return found


def _limit(entry: Entry, tiers: Counter[str], owners: Counter[str]) -> str:
    if entry.max_tier_runs is not None and tiers[entry.tier] >= entry.max_tier_runs:
        return f"tier {entry.tier} allows {_runs(entry.max_tier_runs)} at once"
    if (
        entry.owner
        and entry.max_owner_runs is not None
        and owners[entry.owner] >= entry.max_owner_runs
    ):
        return f"{entry.owner} may have {_runs(entry.max_owner_runs)} at once"
    return ""


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count > 1)}"
