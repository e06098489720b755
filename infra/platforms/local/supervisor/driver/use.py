"""Tells a run whether its program uses the cluster, and what it left unfinished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebbtide.infra.frameworks.base import FrameworkStatus, load_framework
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.local.supervisor.driver.hook import notes_file
from ebbtide.infra.platforms.local.supervisor.driver.notes import read_notes
from ebbtide.infra.platforms.local.supervisor.program import Driver
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.cluster_use import UNUSED, Remark, UseWatch, Work
from ebbtide.infra.waiting import now_s, wait_until


class ClusterUse:
    """Of one run's own program."""

    def __init__(self, spec: RunSpec, driver: Driver, reporter: StatusReporter):
        framework = load_framework(spec.cluster.framework)
        self._watch = UseWatch(connect=framework.connect, bridge=spec.bridge)
        self._late_s = framework.late_s
        self._driver = driver
        self._notes = notes_file(driver.place)
        self._reporter = reporter

    def while_running(self, status: FrameworkStatus | None) -> None:
        """Judge by the head's latest answer."""
        if status is None:
            return
        seconds = now_s() - self._driver.started_s
        remark = self._watch.while_running(seconds, _work(status), read_notes(self._notes))
        if remark is not None:
            self._tell(remark)

    def at_the_end(self, ask: Callable[[], FrameworkStatus | None]) -> None:
        """Judge by what the head says once the program has ended, and has heard of all it did."""
        work: Work | None = None

        def told() -> bool:
            nonlocal work
            status = ask()
            work = None if status is None else _work(status)
            return work is None or not self._watch.seems_unused(work)

        wait_until(told, timeout_s=self._late_s)
        well = self._driver.view.exit_code == 0 and self._driver.view.reason is None
        for remark in self._watch.at_the_end(work, read_notes(self._notes), well=well):
            self._tell(remark)

    def _tell(self, remark: Remark) -> None:
        about = remark.unused is not None
        data: dict[str, Any] = {UNUSED: remark.hint if remark.unused else ""} if about else {}
        kind = EventKind.NOTE if remark.unused is False else EventKind.WARNING
        hint = remark.hint.replace("RUN", self._driver.place.run)
        self._reporter.event(kind, remark.message, hint=hint, **data)


def _work(status: FrameworkStatus) -> Work:
    return Work(now=status.running + status.queued, finished=status.finished)
