"""Whether tasks that run get anywhere, as a pure decision over what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ebbtide.infra.models.resources import format_duration

IDLE_WORKER_CORES = 0.1
"""What a worker without work uses at most: its heartbeats, measured with Ray on a slow machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What tasks do at one moment."""

    running: Mapping[str, int]
    """Tasks running on each worker that has any."""
    finished: int | None
    """Tasks that have ended since the head started; None: not known."""
    cores: float
    """Used by all workers and the program."""
    workers: int


@dataclass(slots=True)
class ProgressWatch:
    """Remembers since when nothing has ended and nobody computes."""

    allowed_s: float | None
    """None: never judged."""
    _since_s: float | None = None
    _finished: int | None = None
    _said: bool = False

    def judge(self, now_s: float, activity: Activity) -> str:
        """Judge one moment.

        Args:
            now_s: monotonic seconds.
            activity: what was seen.

        Returns:
            What is to be said, once for each time without progress; else an empty text.
        """
        idle = activity.cores < IDLE_WORKER_CORES * (activity.workers + 1)
        still = idle and activity.finished is not None and activity.finished == self._finished
        self._finished = activity.finished
        if not still or not activity.running:
            self._since_s, self._said = None, False
            return ""
        if self._since_s is None:
            self._since_s = now_s
        if self.allowed_s is None or self._said or now_s - self._since_s < self.allowed_s:
            return ""
        self._said = True
        return _sentence(activity, now_s - self._since_s)


def _sentence(activity: Activity, seconds: float) -> str:
    total = sum(activity.running.values())
    where = ", ".join(f"{name}: {count}" for name, count in sorted(activity.running.items()))
    return (
        f"no progress for {format_duration(seconds)}: {total} tasks run ({where}), none has ended"
        " and no CPU is used; they may wait for a lock, for the network or for each other"
    )
