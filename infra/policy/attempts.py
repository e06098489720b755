"""Whether a fresh cluster follows a failure, and when trying again is in vain.

The program's own failures are counted apart from those of infrastructure and capacity: what the
user allows the program is not used up by a lost node. What has failed twice in the same way, and
cannot heal by itself, is not tried a third time. Pure. Does not belong here: trying again.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from ebbtide.infra.errors import EbbError, JobError, ProvisioningError
from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.policy.explain.telling import same_way

MAX_DEATHS = 3
"""So many deaths before a head or the first workers are there are no accident."""

_ACCIDENTS = (Reason.NODE_LOST, Reason.EVICTED, Reason.POD_LOST, Reason.CLUSTER_DELETED)
"""What others did to a cluster: that it happened twice says nothing of a third time."""
_MAY_HEAL = re.compile(
    r"tim(?:ed?|ing) ?-?out|no answer within|temporar|try again|refused|reset by peer|unreachable"
    r"|unavailable|failed to connect"
    r"|already in use|cannot allocate memory|no space left|insufficient memory|SIGKILL",
    re.IGNORECASE,
)
"""What a busy machine, or a neighbour on it, does to a process."""


@dataclass(slots=True)
class EarlyDeaths:
    """Heads and workers that died before a start was done."""

    said: list[str] = field(default_factory=list)
    """The telling line of each, in order; empty for one that said nothing."""
    last: str = ""
    """How the last one died, as a sentence."""

    def add(self, sentence: str, said: str) -> None:
        """One more: how it died in words, and the telling line of its log."""
        self.said.append(said)
        self.last = sentence

    @property
    def too_many(self) -> bool:
        """Whether the start has failed."""
        return len(self.said) >= MAX_DEATHS or self.in_vain

    @property
    def in_vain(self) -> bool:
        """Whether the last two died in the same way, and another would."""
        return len(self.said) >= 2 and _repeated(self.said[-2], self.said[-1])

    @property
    def sentence(self) -> str:
        """How the start failed."""
        again = "; twice in the same way, so it is not tried again" if self.in_vain else ""
        return f"{self.last}{again}"

    def forget(self) -> None:
        """Begin to count anew."""
        self.said.clear()


@dataclass(frozen=True, slots=True)
class Failures:
    """Why the clusters of a run failed so far, each followed by a fresh one."""

    reasons: tuple[Reason, ...] = ()

    @property
    def not_counted(self) -> tuple[Reason, ...]:
        """Those that were not the program's."""
        return tuple(each for each in self.reasons if each.family != JobError.family)

    @property
    def attempt(self) -> int:
        """Which attempt of the program it is; 1 = the first."""
        return 1 + len(self.reasons) - len(self.not_counted)

    def and_(self, reason: Reason) -> Failures:
        """With one more."""
        return Failures((*self.reasons, reason))

    def spent(self, error: EbbError, retry: RetryPolicy) -> str:
        """Say which bound a further cluster would exceed; empty: none.

        Args:
            error: what the last cluster failed with.
            retry: what the run allows.

        Returns:
            A clause such as ``2 replacements are used up``.
        """
        if isinstance(error, JobError):
            if self.attempt < retry.attempts:
                return ""
            return f"attempt {self.attempt} of {retry.attempts} was the last"
        used = len(self.not_counted)
        return "" if used < retry.replacements else f"{used} of {used} replacements are used up"

    def told(self, retry: RetryPolicy) -> str:
        """Say which attempt follows, and what was not counted as one.

        Args:
            retry: what the run allows.

        Returns:
            Such as ``attempt 1 of 2; not counted: 1 node lost (replacement 1 of 3)``.
        """
        attempt, others = f"attempt {self.attempt} of {retry.attempts}", self.not_counted
        if not others:
            return attempt
        each = (f"{count} {_spoken(reason)}" for reason, count in Counter(others).items())
        which = f"replacement {len(others)} of {retry.replacements}"
        return f"{attempt}; not counted: {', '.join(each)} ({which})"


def is_retried(error: EbbError, retry: RetryPolicy) -> bool:
    """Whether a failure of this kind may be followed by a fresh cluster, bounds aside."""
    wanted = error.reason.family in retry.reasons and error.reason is not Reason.CANCELLED
    return wanted and error.retryable


def failed_alike(before: EbbError | None, error: EbbError) -> str:
    """Tell whether two clusters, one after the other, failed alike, so that a third would too.

    Args:
        before: what the one before failed with; None when there was none.
        error: what the last one failed with.

    Returns:
        A clause that says so where both could not be provisioned, for the same reason and in the
        same words; else empty.
    """
    if before is None or not isinstance(error, ProvisioningError) or error.reason in _ACCIDENTS:
        return ""
    alike = before.reason is error.reason and _repeated(before.detail, error.detail)
    return "this one failed in the same way as the one before" if alike else ""


def _spoken(reason: Reason) -> str:
    return reason.name.lower().replace("_", " ").replace("api ", "API ")


def _repeated(first: str, second: str) -> bool:
    return same_way(first, second) and not _MAY_HEAL.search(second)
