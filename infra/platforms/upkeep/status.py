"""What is told of a cluster: its view and its events, in the store.

A store that cannot be written (a full disk, an API server that is away) must never stop whoever
takes care of the cluster, so nothing here raises; what could not be written is written later.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.cluster import (
    MAX_TIMED,
    ClusterView,
    Failure,
    JobView,
    ProcessTimes,
)
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.policy.explain.exits import exit_sentence
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import wall_s

_PHASES = {
    Step.REQUEST_HARDWARE_TIER: Phase.PROVISIONING,
    Step.WAIT_FOR_NODES: Phase.STARTING,
    Step.ATTACH_AUTOSCALER: Phase.RUNNING,
}


class StatusReporter:
    """Holds the view and writes it when it has changed."""

    def __init__(self, ledger: RunStore, run: RunName, cluster: ClusterId):
        self.view = ClusterView(cluster=cluster)
        self._ledger = ledger
        self._run = run
        self._written: ClusterView | None = None
        self._unsent: list[Event] = []
        self._together = False
        self._phase: Phase | None = None

    @staticmethod
    def now() -> float:
        """Unix time, for the view's moments."""
        return wall_s()

    def update(self, **fields: Any) -> None:
        """Change the view; written at the next flush."""
        self.view = replace(self.view, **fields)

    def time(self, process: str, **moments: float | None) -> None:
        """Note when a process of the cluster got how far; of the first of them only.

        Args:
            process: its name, such as ``worker-0``.
            moments: fields of ``ProcessTimes``; written with the view, at the next flush.
        """
        times = self.view.times
        if process in times or len(times) < MAX_TIMED:
            known = times.get(process, ProcessTimes())
            self.update(times={**times, process: replace(known, **moments)})

    def done(self, step: Step, message: str, **data: Any) -> None:
        """Record that a step has been reached.

        Args:
            step: the step.
            message: one sentence for people.
            data: more of it, for machines; JSON can hold it.
        """
        self.event(EventKind.STEP_DONE, message, step=step, **data)
        if step in _PHASES:
            self.phase(_PHASES[step])

    def fail(self, failure: Failure) -> None:
        """A step has failed; the flow decides what follows."""
        self.update(failure=failure)
        self.event(
            EventKind.STEP_FAILED,
            failure.reason.info.sentence,
            step=failure.step,
            reason=failure.reason,
            detail=failure.detail,
            hint=failure.hint,
        )

    def job_ended(self, job: JobView, hint: str = "") -> None:
        """Record the end of the user's program, however it ended, and what is to be done."""
        self.update(job=job)
        if job.exit_code == 0 and job.reason is None:
            self.done(Step.RUN_USER_JOB, "the program ended well")
            return
        reason = job.reason or Reason.EXIT_CODE
        code = exit_sentence(job.exit_code) if reason is Reason.EXIT_CODE else ""
        self.event(
            EventKind.STEP_FAILED,
            reason.info.sentence,
            step=Step.RUN_USER_JOB,
            reason=reason,
            detail=", ".join(filter(None, (code, job.detail))),
            exit_code=job.exit_code,
            hint=hint or job.hint,
        )

    def event(
        self,
        kind: EventKind,
        message: str,
        *,
        step: Step | None = None,
        reason: Reason | None = None,
        **data: Any,
    ) -> None:
        """Something happened, now.

        Args:
            kind: what sort of thing.
            message: one line, for people.
            step: which step it belongs to.
            reason: why it happened.
            data: more of it, for machines.
        """
        self._unsent.append(
            Event(
                run=self._run,
                cluster=self.view.cluster,
                at=wall_s(),
                kind=kind,
                step=step,
                reason=reason,
                message=message,
                data=data,
            )
        )
        self.flush()

    def phase(self, phase: Phase) -> None:
        """The run's phase, for ``ebb ps``."""
        if self._together:
            self._phase = phase
            return
        with contextlib.suppress(EbbError):
            self._ledger.set_phase(self._run, phase)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write what is told inside at its end, and at once: each write may be a request."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self.flush()
            if self._phase is not None:
                self.phase(self._phase)
                self._phase = None

    def flush(self) -> bool:
        """Write what is new; returns whether all of it is written."""
        if self._together:
            return False
        try:
            if self._unsent:
                self._ledger.append(*self._unsent)
                self._unsent.clear()
            if self.view != self._written:
                self._ledger.write_view(self.view)
                self._written = self.view
        except EbbError:
            return False
        return True
