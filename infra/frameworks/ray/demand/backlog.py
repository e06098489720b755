"""How long the tasks that stand in line will take. Ray knows no durations: an estimate. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_WINDOW_S = 30.0
_REPORTED_WITHIN_S = 3.0
"""Ray's processes tell once a second what their tasks do; one that looks younger may have ended."""
_ENOUGH = 1e-6


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that runs, as far as the head has been told."""

    age_s: float
    slots: float
    """How much of a worker's slots it takes; see ``shapes.slots_of``."""


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    ended: int
    spent_s: float
    """By all slots that ran tasks, since the first sample."""


class Backlog:
    """Learns how long tasks take from how many end while so many slots are busy."""

    def __init__(self) -> None:
        self._ended_at_first: int | None = None
        self._samples: deque[_Sample] = deque()
        self._youngest_s = 0.0
        self._stands_since_s: float | None = None

    def observe(
        self, at_s: float, ended: int, busy_slots: float, running: Sequence[RunningTask]
    ) -> None:
        """Remember what was told.

        Args:
            at_s: when, monotonic.
            ended: how many tasks have ended ever.
            busy_slots: how many slots run tasks now.
            running: those tasks.
        """
        self._youngest_s = _youngest_s(running, busy_slots)
        if self._ended_at_first is None:
            self._ended_at_first = ended
        if ended == self._ended_at_first:
            return  # until the first tasks have ended, their processes start: that is no duration
        last = self._samples[-1] if self._samples else _Sample(at_s, ended, 0.0)
        spent_s = last.spent_s + busy_slots * (at_s - last.at_s)
        self._samples.append(_Sample(at_s, ended, spent_s))
        while len(self._samples) > 2 and self._samples[1].at_s <= at_s - _WINDOW_S:
            self._samples.popleft()

    def mean_s(self) -> float | None:
        """How long a slot works for one task now, in seconds; None while nothing tells.

        By what ended lately; not less than the age of all tasks that run, for when they have
        become longer.
        """
        known = [self._youngest_s] if self._youngest_s >= _REPORTED_WITHIN_S else []
        if self._samples:
            first, last = self._samples[0], self._samples[-1]
            if last.ended > first.ended:
                known.append((last.spent_s - first.spent_s) / (last.ended - first.ended))
        return max(known, default=None)

    def seconds(self, slots: float, now_s: float) -> float:
        """How long one slot would need for everything that runs and stands in line.

        While no duration is known there is one thing to say: how long the queue has stood.

        Args:
            slots: what runs and stands in line, in slots.
            now_s: monotonic time.

        Returns:
            Seconds.
        """
        if not slots:
            self._stands_since_s = None
            return 0.0
        if self._stands_since_s is None:
            self._stands_since_s = now_s
        mean_s = self.mean_s()
        return now_s - self._stands_since_s if mean_s is None else slots * mean_s


def _youngest_s(running: Sequence[RunningTask], busy_slots: float) -> float:
    """The age of the youngest task; 0 when fewer are known than there are slots that run some."""
    if sum(task.slots for task in running) < busy_slots - _ENOUGH:
        return 0.0
    return min((task.age_s for task in running), default=0.0)
