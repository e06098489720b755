"""One line of advice on a run's size, given only when its figures support it.

Pure. Does not belong here: adding the figures up (``infra.accounting.receipts``), whether a catalog
has a tier that would fit better.
"""

from __future__ import annotations

from dataclasses import dataclass

SHORTEST_S = 60.0
"""A shorter run says nothing: starting is most of it."""
_MUCH_OF_THE_TIME = 0.6
_IDLE_CPU = 0.2
_BUSY_CPU = 0.6
_NEAR_THE_LIMIT = 0.9
_HALF = 0.5
"""Of the memory: a tier of half the size must still hold the peak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run's size is judged by. Every share is a fraction of 1."""

    seconds: float
    """How long it held its shares."""
    tier: str
    scales: bool
    """Whether there are workers; a plain program has its tier alone."""
    min_workers: int
    max_workers: int
    cpu: float
    """Core-seconds used of core-seconds asked; may exceed 1 (burst)."""
    peak_memory: float
    """The largest of any worker, of its tier's memory."""
    at_max: float
    """Part of the time in which as many workers were wanted as are allowed."""
    at_min: float
    """Part of the time in which no more than the minimum was wanted."""
    cpu_at_min: float
    """Average CPU use of the workers in that time."""


def advise(figures: Figures) -> str:
    """Return one line of advice on the run's size, with the figures for it; empty for none.

    Memory comes first, because a run out of memory fails; then what makes it slow, then waste.
    """
    if figures.seconds < SHORTEST_S:
        return ""
    low, high = figures.min_workers, figures.max_workers
    if figures.peak_memory >= _NEAR_THE_LIMIT:
        return (
            f"memory peaked at {_percent(figures.peak_memory)} of tier {figures.tier}:"
            " a larger --tier leaves room"
        )
    if figures.scales and figures.at_max >= _MUCH_OF_THE_TIME and figures.cpu >= _BUSY_CPU:
        return (
            f"all {high} workers were wanted {_percent(figures.at_max)} of the time and used"
            f" {_percent(figures.cpu)} of their CPU: --workers {low}..{2 * high} may end sooner"
        )
    idle_floor = figures.at_min >= _MUCH_OF_THE_TIME and figures.cpu_at_min < _IDLE_CPU
    if figures.scales and low > 1 and idle_floor:
        return (
            f"the minimum of {low} workers used {_percent(figures.cpu_at_min)} of its CPU"
            f" {_percent(figures.at_min)} of the time: --workers {low // 2}..{high} costs less"
        )
    if figures.cpu < _IDLE_CPU and figures.peak_memory < _HALF:
        return (
            f"{_percent(figures.cpu)} of the CPU of tier {figures.tier} was used and at most"
            f" {_percent(figures.peak_memory)} of its memory: a smaller --tier would do"
        )
    return ""


def _percent(part: float) -> str:
    return f"{100 * part:.0f} %"
