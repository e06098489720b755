"""How long a program may run, idle, or get nowhere: judged once a second."""

from __future__ import annotations

from typing import Protocol

from ebbtide.infra.frameworks.base import FrameworkStatus
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.limits import LimitsWatch, Verdict, WorkersAwaited
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

    def __init__(self, spec: RunSpec, reporter: StatusReporter):
        self._limits, self._has_head = spec.limits, spec.cluster.has_workers
        self._watch = LimitsWatch(spec.limits)
        self._awaited = WorkersAwaited(spec.limits.start_within_s)
        self._progress = ProgressWatch(spec.limits.no_progress_s)
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

        ``status`` is the head's answer, None without one. While nothing is known of what it does,
        neither by its head nor by what it uses, nothing is counted.
        """
        unknown = program.cores is None or (self._has_head and status is None)
        busy = status is not None and self._is_busy(status)
        cores = program.cores or 0.0
        verdict = self._watch.judge(now_s(), program.started_s, busy, cores, known=not unknown)
        idle = format_duration(self._watch.idle_s(now_s()))
        if verdict is Verdict.TIME_LIMIT:
            allowed = format_duration(self._limits.time_limit_s or 0)
            program.end(Reason.TIME_LIMIT, f"{allowed} allowed; raise it with --time-limit")
        elif verdict is Verdict.WARN_IDLE:
            allowed = format_duration(self._limits.idle_release_s or 0)
            self._warn(f"no work for {idle}{self._lacks}; idle limit is {allowed}")
        elif verdict is Verdict.IDLE and self._limits.idle_action == "warn":
            self._warn(f"no work for {idle}{self._lacks}; kept, as --idle-action warn says")
        elif verdict is Verdict.IDLE:
            program.end(*self._why_idle(status, idle))

    def _is_busy(self, status: FrameworkStatus) -> bool:
        """What only waits is no work, as it may wait for ever; but it may wait for workers."""
        view, demand = self._reporter.view, status.demand
        runs = status.running > 0
        waits = status.queued > 0 or bool(demand.waiting) or bool(demand.floor)
        awaited = self._awaited.judge(
            now_s(),
            work_waits=waits and not runs,
            coming=view.workers_coming,
            joined=view.workers_joined,
        )
        return runs or awaited

    def _why_idle(self, status: FrameworkStatus | None, idle: str) -> tuple[Reason, str]:
        """Reason and detail of an end for having run nothing for a while."""
        cannot_run = self._reporter.view.cannot_run
        if cannot_run:
            return Reason.CANNOT_RUN, f"{cannot_run}; nothing ran for {idle}"
        waited = f", {status.queued} tasks waited" if status and status.queued else ""
        return (
            Reason.IDLE,
            f"no work for {idle}{waited}{self._lacks}; --idle-release never keeps it",
        )

    @property
    def _lacks(self) -> str:
        """What keeps workers away that it may wait for, as the middle of a sentence."""
        waiting = self._reporter.view.waiting
        return f" ({waiting.message})" if waiting is not None else ""

    def _warn(self, message: str) -> None:
        self._reporter.event(EventKind.WARNING, message)
