"""Judging a lease: it has lapsed when it stayed unchanged for its duration on our own clock."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_S = 24 * 3600.0
"""Whatever the ledger says, nobody keeps a cluster longer than this without a word."""


@dataclass(slots=True)
class LeaseJudge:
    """Counts from its own first successful read; never compares two machines' clocks."""

    duration_s: float
    """Set anew with each read: a suspended flow may ask for a longer one, and gives it back."""
    _beat: int | None = None
    _since_s: float = 0.0

    def lapsed(self, beat: int, now_s: float) -> bool:
        """Whether the heartbeat just read has not changed for the whole duration."""
        if beat != self._beat:  # a new duration comes with a new beat, see Ledger.extend_lease
            self._beat, self._since_s = beat, now_s
        return now_s - self._since_s >= self.duration_s

    def agree(self, duration_s: float) -> None:
        """From now on it lasts so many seconds without a beat, within reason."""
        self.duration_s = min(duration_s, LONGEST_S)

    def left_s(self, now_s: float) -> float:
        """Seconds until it lapses unless it is renewed."""
        return self.duration_s - (now_s - self._since_s)
