"""What was used in some time of a run: seconds, worker-seconds, GPU-seconds, money.

Does not belong here: what they are added up from (``receipts``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What was used in some time of a run; worker-seconds as ``receipts`` says."""

    seconds: float = 0.0
    asked_s: float = 0.0
    used_s: float = 0.0
    cost: float = 0.0
    """In the catalog's currency."""
    gpu_s: float = 0.0
    """GPU-seconds that were held."""
    unknown_s: float = 0.0
    """Worker-seconds of which nobody knows what was used."""

    @property
    def idle_s(self) -> float:
        """Worker-seconds that were asked for and not used."""
        return max(0.0, self.asked_s - self.used_s - self.unknown_s)

    @property
    def as_unknown(self) -> Use:
        """The same of workers that nobody has measured."""
        return replace(self, used_s=0.0, unknown_s=self.asked_s)

    def __add__(self, other: Use) -> Use:
        return Use(
            seconds=self.seconds + other.seconds,
            asked_s=self.asked_s + other.asked_s,
            used_s=self.used_s + other.used_s,
            cost=self.cost + other.cost,
            gpu_s=self.gpu_s + other.gpu_s,
            unknown_s=self.unknown_s + other.unknown_s,
        )


NOTHING_USED = Use()
