"""The limits of a run whose program is in a pod: its time, idleness, and how its end is told.

The program is told by a signal in its pod, not by deleting the pod: what it wrote and printed last
is in there, and is brought back before all is released.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace

from ebbtide.infra.frameworks.base import FrameworkStatus
from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters.releasing import end_program
from ebbtide.infra.platforms.kubernetes.naming import driver_name
from ebbtide.infra.platforms.kubernetes.tending.figures import Figures
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.work import WorkWatch
from ebbtide.infra.waiting import now_s


class Limits:
    """Ends a program that takes too long or does nothing, and says when nothing ends."""

    def __init__(self, api: Api, spec: RunSpec, reporter: StatusReporter):
        """Judge nothing yet.

        Args:
            api: of the namespace.
            spec: of the run.
            reporter: has the cluster's id, and is told what is judged.
        """
        self._work = WorkWatch(spec, reporter)
        self._program = DriverPod(api, reporter.view.cluster)

    def tick(
        self, view: ClusterView, now: float, status: FrameworkStatus | None, figures: Figures
    ) -> None:
        """Judge once, about every second.

        Args:
            view: of this moment.
            now: Unix time in seconds on the clock of the view's moments.
            status: the head's answer; None while it is silent, or there is none.
            figures: what workers and program use.
        """
        if view.job.started_at is None or view.job.ended_at is not None:
            return
        if status is not None:
            self._work.judge_progress(status, len(figures.workers), figures.cores)
        self._program.look(max(0.0, now - view.job.started_at), figures.program_cores)
        self._work.judge_time(self._program, status)

    def told(self, job: JobView) -> JobView:
        """The program's end with the reason of ours, when we have ended it."""
        because = self._program.because
        if because is None or job.ended_at is None or job.exit_code == 0:
            return job
        return replace(job, reason=because[0], detail=because[1], hint="")


class DriverPod:
    """The user's program in its pod; see ``infra.platforms.upkeep.work.Program``."""

    def __init__(self, api: Api, cluster: ClusterId):
        self.cores: float | None = None
        self.started_s = 0.0
        self.because: tuple[Reason, str] | None = None
        """Why it was ended by us; None when it was not."""
        self._api, self._pod = api, driver_name(cluster)
        self._ended = False

    def look(self, runs_s: float, cores: float | None) -> None:
        """Take in what is known now; and go on with an end that the API server did not take.

        Args:
            runs_s: for how long the program has run, in seconds.
            cores: that its pod uses; None while that is not known.
        """
        self.started_s, self.cores = now_s() - runs_s, cores
        self._end()

    def end(self, reason: Reason, detail: str) -> None:
        """Tell it to end; for the first reason that there is. See the protocol."""
        if self.because is None:
            self.because = (reason, detail)
        self._end()

    def _end(self) -> None:
        if self.because is None or self._ended:
            return
        with contextlib.suppress(ApiError):  # it is tried again at the next look
            end_program(self._api, self._pod, *self.because)
            self._ended = True
