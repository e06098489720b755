"""What the supervisor tells the world: the cluster's view and events, in the ledger.

A ledger that cannot be written (a full disk) must never stop the supervisor from owning and
releasing its processes, so nothing here raises; what could not be written is written later.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.cluster import ClusterView, Failure
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.phases import Phase, Step
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wall_s

_PHASES = {
    Step.REQUEST_HARDWARE_TIER: Phase.PROVISIONING,
    Step.WAIT_FOR_NODES: Phase.STARTING,
    Step.ATTACH_AUTOSCALER: Phase.RUNNING,
}


class StatusReporter:
    """Holds the view and writes it when it has changed."""

    def __init__(self, ledger: Ledger, run: str, cluster: str):
        self.view = ClusterView(cluster=cluster)
        self._ledger = ledger
        self._run = run
        self._written = ""
        self._unsent: list[tuple[str, str, dict[str, Any]]] = []

    @staticmethod
    def now() -> float:
        """Unix time, for the view's moments."""
        return wall_s()

    def update(self, **fields: Any) -> None:
        """Change the view; written at the next flush."""
        self.view = replace(self.view, **fields)

    def done(self, step: Step, message: str, **data: Any) -> None:
        """A step has been reached."""
        self.event("step_done", message, step=step.value, **data)
        if step in _PHASES:
            self.phase(_PHASES[step])

    def fail(self, failure: Failure) -> None:
        """A step has failed; the flow decides what follows."""
        self.update(failure=failure)
        message = failure.reason.info.sentence
        more = {"detail": failure.detail, "hint": failure.hint}
        self.event(
            "step_failed", message, step=failure.step.value, reason=failure.reason.value, **more
        )

    def event(self, kind: str, message: str, **data: Any) -> None:
        """Something happened, now."""
        event = {"cluster": self.view.cluster, "at": wall_s(), **data}
        self._unsent.append((kind, message, event))
        self.flush()

    def phase(self, phase: Phase) -> None:
        """The run's phase, for ``ebb ps``."""
        with contextlib.suppress(EbbError):
            self._ledger.set_phase(self._run, phase)

    def flush(self) -> bool:
        """Write what is new; gives whether all of it is written."""
        try:
            while self._unsent:
                kind, message, event = self._unsent[0]
                self._ledger.emit(self._run, kind, message, **event)
                self._unsent.pop(0)
            text = to_json(self.view)
            if text != self._written:
                self._ledger.write_view(self.view.cluster, text)
                self._written = text
        except EbbError:
            return False
        return True
