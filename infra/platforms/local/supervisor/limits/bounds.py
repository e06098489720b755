"""What one run may take of a machine it shares: so much output, so many processes."""

from __future__ import annotations

import os

from ebbtide.infra.models.job import Limits
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.local import marks, tree
from ebbtide.infra.platforms.local.supervisor.limits.output import OutputWatch
from ebbtide.infra.waiting import now_s

_COUNT_EVERY_S = 1.0
_PATIENCE_S = 15.0


class Bounds:
    """Looks at every tick; cheap as long as nothing is near its bound."""

    def __init__(self, limits: Limits, output: OutputWatch):
        self.output = output
        self.processes = ProcessWatch(limits.max_processes)
        self._limits = limits

    def exceeded(self) -> tuple[Reason, str] | None:
        """Why the run must end now, and in words; its processes stand still when they are many."""
        count, allowed = self.processes.look(), self._limits.max_processes
        if count:
            detail = f"{count} processes, {allowed} allowed; --max-processes allows more"
            return Reason.TOO_MANY_PROCESSES, detail
        if self.output.failed:
            kept = format_memory(self._limits.max_output_bytes or 0)
            return Reason.OUTPUT_LIMIT, f"{kept} may be kept (--max-output); {self.output.failed}"
        return None


class ProcessWatch:
    """Counts everything below the cluster's guard, which inherits what loses its parent."""

    def __init__(self, limit: int | None):
        self._limit = limit
        guard = os.getppid()
        self._guard = guard if marks.role_of(guard) == "guard" else 0
        self._counted_s = -_COUNT_EVERY_S
        self._count = 0
        self._threads = 0

    def look(self) -> int:
        """0, or how many there were when they were too many; they are stopped then."""
        if self._limit is None or not self._due(self._limit):
            return 0
        found = tree.table()
        self._count = len(self._mine(found))
        if self._count <= self._limit:
            return 0
        return max(self._count, tree.freeze(self._mine))

    def end(self) -> None:
        """All of them; they have been stopped and are not asked any more."""
        tree.end(self._mine, patience_s=_PATIENCE_S)

    def _due(self, limit: int) -> bool:
        """Every second, and at once when so many have come to the machine that it may be ours."""
        threads = tree.threads_of_machine()
        grown = threads - self._threads
        if now_s() - self._counted_s < _COUNT_EVERY_S and self._count + grown <= limit:
            return False
        self._counted_s, self._threads = now_s(), threads
        return True

    def _mine(self, found: tree.Table) -> set[int]:
        me = os.getpid()
        roots = {me, self._guard} if os.getppid() == self._guard else {me}
        return tree.below(found, roots) - {me}
