"""Tells a run whether its program uses the cluster, and what it left unfinished."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebbtide.infra.frameworks.base import FrameworkStatus, load_framework
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.cluster_use import UNUSED, Notes, Remark, UseWatch, Work
from ebbtide.infra.waiting import wait_until


class ClusterUse:
    """Of one run's own program."""

    def __init__(self, spec: RunSpec, reporter: StatusReporter):
        framework = load_framework(spec.cluster.framework)
        self._watch = UseWatch(connect=framework.connect, bridge=spec.bridge)
        self._late_s = framework.late_s
        self._run = spec.name
        self._reporter = reporter

    def while_running(self, seconds: float, status: FrameworkStatus | None, notes: Notes) -> None:
        """Judge by the head's latest answer.

        Args:
            seconds: for how long the program has run.
            status: what the head says; None: it is silent.
            notes: what the program's hook has noted, as far as that is known.
        """
        if status is None:
            return
        remark = self._watch.while_running(seconds, _work(status), notes)
        if remark is not None:
            self._tell(remark)

    def at_the_end(
        self, ask: Callable[[], FrameworkStatus | None], notes: Notes, *, well: bool
    ) -> None:
        """Judge by what the head says once the program has ended, and has heard of all it did.

        Args:
            ask: asks the head.
            notes: what the program's hook has noted.
            well: whether the program exited with 0, and for no reason of ours.
        """
        work: Work | None = None

        def told() -> bool:
            nonlocal work
            status = ask()
            work = None if status is None else _work(status)
            return work is None or not self._watch.seems_unused(work)

        wait_until(told, timeout_s=self._late_s)
        for remark in self._watch.at_the_end(work, notes, well=well):
            self._tell(remark)

    def _tell(self, remark: Remark) -> None:
        about = remark.unused is not None
        data: dict[str, Any] = {UNUSED: remark.hint if remark.unused else ""} if about else {}
        kind = EventKind.NOTE if remark.unused is False else EventKind.WARNING
        hint = remark.hint.replace("RUN", self._run)
        self._reporter.event(kind, remark.message, hint=hint, **data)


def _work(status: FrameworkStatus) -> Work:
    return Work(now=status.running + status.queued, finished=status.finished)
