"""Judging a lease: it has expired when it stayed unchanged for its duration on our own clock."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_S = 24 * 3600.0
"""Whatever the ledger says, nobody keeps a cluster longer than this without a word."""


@dataclass(slots=True)
class LeaseJudge:
    """Counts from its own first successful read; never compares two machines' clocks."""

    duration_s: float
    """Set anew with each read: a suspended flow may ask for a longer one, and gives it back."""
    _renewals: int | None = None
    _since_s: float = 0.0

    def expired(self, renewals: int, now_s: float) -> bool:
        """Whether the lease just read has not been renewed for the whole duration.

        Args:
            renewals: how often it has been renewed, as just read.
            now_s: on this process's monotonic clock, in seconds.
        """
        if (
            renewals != self._renewals
        ):  # a new duration comes with a renewal, see Ledger.extend_lease
            self._renewals, self._since_s = renewals, now_s
        return now_s - self._since_s >= self.duration_s

    def agree(self, duration_s: float) -> None:
        """From now on it lasts so many seconds without a renewal, within reason."""
        self.duration_s = min(duration_s, LONGEST_S)
