"""When trying again is in vain: what has failed twice in the same way, and cannot heal by itself.

Pure. Does not belong here: trying again, and which failures a run wants retried (``RetryPolicy``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ebbtide.infra.errors import EbbError, ProvisioningError
from ebbtide.infra.policy.explain.telling import same_way

MAX_DEATHS = 3
"""So many deaths before a head or the first workers are there are no accident."""

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


def failed_alike(before: EbbError | None, error: EbbError) -> bool:
    """Tell whether two attempts, one after the other, failed alike, so that a third would too.

    Args:
        before: what the attempt before failed with; None when there was none.
        error: what the last one failed with.

    Returns:
        Whether both could not be provisioned, for the same reason and in the same words.
    """
    if before is None or not isinstance(error, ProvisioningError):
        return False
    return before.reason is error.reason and _repeated(before.detail, error.detail)


def _repeated(first: str, second: str) -> bool:
    return same_way(first, second) and not _MAY_HEAL.search(second)
