"""Judging a lease: it has expired when it stayed unchanged for its duration on our own clock."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_S = 24 * 3600.0
"""Whatever the ledger says, no cluster outlives its last renewal by more than this."""


@dataclass(slots=True)
class LeaseJudge:
    """Judges whether a lease has expired, on this process's own clock only."""

    duration_s: float
    """Set anew with each read: a suspended flow may ask for a longer one for a while."""
    gap: float = 1.0
    """The time between two reads counts for this part of the duration at most. Below 1 where nobody
    can renew while nobody can read, such as at an API server that was away."""
    renewals: int | None = None
    """As last read; None: never."""
    since_s: float = 0.0
    """Since when, as far as it counts; on the judge's clock."""
    asked_s: float = 0.0
    """When it was last read."""

    def expired(self, renewals: int, now_s: float) -> bool:
        """Judge whether the lease has not been renewed for its whole duration.

        Args:
            renewals: how often it has been renewed, as just read.
            now_s: on this process's monotonic clock, in seconds.

        Returns:
            Whether it has expired; counted from this judge's own first read of that number.
        """
        if renewals != self.renewals:  # a new duration comes with a renewal
            self.renewals, self.since_s, self.asked_s = renewals, now_s, now_s
        self.since_s += max(0.0, now_s - self.asked_s - self.gap * self.duration_s)
        self.asked_s = now_s
        return now_s - self.since_s >= self.duration_s

    def agree(self, duration_s: float) -> None:
        """Set how many seconds the lease lasts without a renewal, up to ``LONGEST_S``."""
        self.duration_s = min(duration_s, LONGEST_S)
