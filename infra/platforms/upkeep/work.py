"""How long a program may run, idle, or get nowhere: judged once a second."""

from __future__ import annotations

from typing import Protocol

from ebbtide.infra.frameworks.base import FrameworkStatus
from ebbtide.infra.models.job import Limits
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.limits import LimitsWatch, Verdict
from ebbtide.infra.policy.progress import Activity, ProgressWatch
from ebbtide.infra.waiting import now_s


class Program(Protocol):
    """A user's program that runs."""

    @property
    def started_s(self) -> float:
        """When it started, in monotonic seconds."""
        ...

    @property
    def cores(self) -> float | None:
        """Average number of cores that it uses; None while that is not known."""
        ...

    def end(self, reason: Reason, detail: str) -> None:
        """End it for a reason of ours.

        Args:
            reason: why, recorded as the reason of its end.
            detail: one sentence for people.
        """
        ...


class WorkWatch:
    """Ends a program that takes too long or does nothing, and says when nothing ends."""

    def __init__(self, limits: Limits, reporter: StatusReporter):
        self._limits = limits
        self._watch = LimitsWatch(limits)
        self._progress = ProgressWatch(limits.no_progress_s)
        self._reporter = reporter

    def judge_progress(self, status: FrameworkStatus, workers: int, cores: float) -> None:
        """Say it, once, when tasks run and none gets anywhere.

        Args:
            status: the head's answer.
            workers: how many there are.
            cores: that they and the program use together.
        """
        activity = Activity(
            running={name: w.running for name, w in status.workers.items() if w.running},
            finished=status.finished,
            cores=cores,
            workers=workers,
        )
        message = self._progress.judge(now_s(), activity)
        if message:
            self._reporter.event(EventKind.WARNING, message)

    def judge_time(self, program: Program, status: FrameworkStatus | None) -> None:
        """End a running program whose time is up, or that has been idle for too long.

        ``status`` is the head's answer, None without one.
        """
        # What only waits is no work: it may be waiting for ever.
        busy = program.cores is None or (status is not None and status.running > 0)
        verdict = self._watch.judge(now_s(), program.started_s, busy, program.cores or 0.0)
        idle = format_duration(self._watch.idle_s(now_s()))
        if verdict is Verdict.TIME_LIMIT:
            allowed = format_duration(self._limits.time_limit_s or 0)
            program.end(Reason.TIME_LIMIT, f"{allowed} allowed; raise it with --time-limit")
        elif verdict is Verdict.WARN_IDLE:
            allowed = format_duration(self._limits.idle_release_s or 0)
            self._warn(f"no work for {idle}; idle limit is {allowed}")
        elif verdict is Verdict.IDLE and self._limits.idle_action == "warn":
            self._warn(f"no work for {idle}; kept, as --idle-action warn says")
        elif verdict is Verdict.IDLE:
            program.end(*self._why_idle(status, idle))

    def _why_idle(self, status: FrameworkStatus | None, idle: str) -> tuple[Reason, str]:
        """Reason and detail of an end for having run nothing for a while."""
        cannot_run = self._reporter.view.cannot_run
        if cannot_run:
            return Reason.CANNOT_RUN, f"{cannot_run}; nothing ran for {idle}"
        waited = f", {status.queued} tasks waited" if status and status.queued else ""
        return Reason.IDLE, f"no work for {idle}{waited}; --idle-release never keeps it"

    def _warn(self, message: str) -> None:
        self._reporter.event(EventKind.WARNING, message)
