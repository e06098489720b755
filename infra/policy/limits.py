"""How long a run may take to start, to run and to idle, as pure decisions over what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.job import Limits
from ebbtide.infra.models.phases import Step
from ebbtide.infra.models.resources import format_duration

_IDLE_CORES = 0.05
"""A program that uses less than this of one core computes nothing."""
_WARN_AT = 0.5
"""The warning comes when half of the idle time has passed."""


@dataclass(frozen=True, slots=True)
class StartDeadline:
    """By when a program must have started, on the monotonic clock of whoever judges that."""

    allowed_s: float
    """``--start-within``: from the request to the program's start."""
    at_s: float
    """Monotonic seconds of the judge; means nothing to another process."""

    @classmethod
    def after(cls, allowed_s: float, *, waited_s: float, now_s: float) -> StartDeadline:
        """The deadline of what was asked for a while ago.

        Args:
            allowed_s: from the request to the start, in seconds.
            waited_s: how long ago it was asked for, in seconds. It comes from a wall clock, which
                may have been set meanwhile: less than nothing counts as nothing.
            now_s: on the judge's monotonic clock, in seconds.

        Returns:
            A deadline between now and ``allowed_s`` from now.
        """
        return cls(allowed_s, now_s + allowed_s - min(max(waited_s, 0.0), allowed_s))

    @property
    def told(self) -> str:
        """What was allowed, in words."""
        return f"{format_duration(self.allowed_s)} allowed by --start-within"

    def passed(self, now_s: float) -> bool:
        """Whether the time is up, ``now_s`` being on the judge's monotonic clock."""
        return now_s >= self.at_s

    def left_s(self, now_s: float) -> float:
        """How long until then, in seconds; 0 when the time is up."""
        return max(0.0, self.at_s - now_s)


def has_started(view: ClusterView, *, with_program: bool) -> bool:
    """Whether what was asked for is there: the program runs, or else the cluster stands."""
    since = view.job.started_at if with_program else view.workers_ready_at
    return since is not None


def awaited_step(view: ClusterView) -> Step:
    """The step that a run that has not started yet is waiting at."""
    if view.admitted_at is None:
        return Step.WAIT_FOR_NODES
    if view.head_ready_at is None:
        return Step.START_HEAD
    return Step.START_WORKERS if view.workers_ready_at is None else Step.RUN_USER_JOB


@dataclass(slots=True)
class WorkersAwaited:
    """Judges whether a program may wait for workers that are on their way, so that it is not idle.

    It can do nothing without them; but they must not be awaited for ever.
    """

    allowed_s: float
    """As long as the run had to start (``--start-within``): until more of them have joined."""
    _since_s: float | None = None
    _joined: int = 0
    """At most so many were there since something began to wait."""

    def judge(self, now_s: float, *, work_waits: bool, coming: int, joined: int) -> bool:
        """Judge one moment.

        Args:
            now_s: monotonic seconds.
            work_waits: whether something waits in the cluster, and nothing runs.
            coming: workers on their way.
            joined: workers that are there.

        Returns:
            Whether what waits may still wait for them. Workers that never come, or come and go,
            do not make it longer: it counts from when something began to wait, or one more joined.
        """
        if not work_waits:
            self._since_s, self._joined = None, joined
            return False
        if joined > self._joined:
            self._since_s, self._joined = None, joined
        if not coming:
            return False
        if self._since_s is None:
            self._since_s = now_s
        return now_s - self._since_s < self.allowed_s


class Verdict(StrEnum):
    """What the limits say at one moment."""

    GO_ON = "go on"
    WARN_IDLE = "warn idle"
    IDLE = "idle"
    TIME_LIMIT = "time limit"


@dataclass(slots=True)
class LimitsWatch:
    """Judges the time limit and idleness of one program; remembers since when it has been idle."""

    limits: Limits
    _idle_since_s: float | None = None
    _judged_s: float | None = None
    _warned: bool = False
    _acted: bool = False

    def idle_s(self, now_s: float) -> float:
        """Return for how many seconds there has been nothing to do."""
        return 0.0 if self._idle_since_s is None else now_s - self._idle_since_s

    def judge(
        self,
        now_s: float,
        started_s: float,
        has_work: bool,
        driver_cores: float,
        *,
        known: bool = True,
    ) -> Verdict:
        """Judge the program at one moment.

        Args:
            now_s: monotonic seconds.
            started_s: when the program started, on the same clock.
            has_work: whether the cluster runs tasks.
            driver_cores: cores that the program itself uses.
            known: whether anything is known of either; time in which it is not does not count as
                idle, and ends no idle time.

        Returns:
            What to do now. ``IDLE`` and ``WARN_IDLE`` come once for each idle time.
        """
        limit = self.limits.time_limit_s
        passed_s = 0.0 if self._judged_s is None else now_s - self._judged_s
        self._judged_s = now_s
        if limit is not None and now_s - started_s >= limit:
            return Verdict.TIME_LIMIT
        if not known:
            if self._idle_since_s is not None:
                self._idle_since_s += passed_s
            return Verdict.GO_ON
        if has_work or driver_cores > _IDLE_CORES:
            self._idle_since_s, self._warned, self._acted = None, False, False
            return Verdict.GO_ON
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        return self._judge_idle(now_s)

    def _judge_idle(self, now_s: float) -> Verdict:
        allowed = self.limits.idle_release_s
        if allowed is None or self._acted:
            return Verdict.GO_ON
        if self.idle_s(now_s) >= allowed * _WARN_AT and not self._warned:
            self._warned = True  # also where this look comes late: nothing ends without a warning
            return Verdict.WARN_IDLE
        if self.idle_s(now_s) >= allowed:
            self._acted = True
            return Verdict.IDLE
        return Verdict.GO_ON
