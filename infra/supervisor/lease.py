"""Judging a lease: it has lapsed when it stayed unchanged for its duration on our own clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LeaseJudge:
    """Counts from its own first successful read; never compares two machines' clocks."""

    duration_s: float
    _beat: int | None = None
    _since_s: float = 0.0

    def lapsed(self, beat: int, now_s: float) -> bool:
        """Whether the heartbeat just read has not changed for the whole duration."""
        if beat != self._beat:
            self._beat, self._since_s = beat, now_s
        return now_s - self._since_s >= self.duration_s

    def left_s(self, now_s: float) -> float:
        """Seconds until it lapses unless it is renewed."""
        return self.duration_s - (now_s - self._since_s)
