"""What the program of a run reads: the file that is handed over to it, else the end of one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator

from ebbtide.infra.files.tails import last_bytes
from ebbtide.infra.models.cluster import JobView
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.local.processes import ProcessContext
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.stdin import NOT_ANSWERED, begin_anew, taken
from ebbtide.infra.policy.explain.exits import closed_stdin_hint

_LAST_LINES_BYTES = 600


class ProgramStdin:
    """What the run's own program reads."""

    def __init__(self, place: ProcessContext, reporter: StatusReporter):
        self._place = place
        self._reporter = reporter
        self._given = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[int]:
        """The file to start the program with: what was handed over, else the end of a file."""
        try:
            file = taken(self._place.logs)
        except TimeoutError:
            self._reporter.event(EventKind.WARNING, NOT_ANSWERED)
            file = None
        if file is None:
            yield subprocess.DEVNULL
            return
        self._given = True
        try:
            told = begin_anew(self._place.logs, file)
            if told:
                self._reporter.event(EventKind.NOTE, told)
            yield file
        finally:
            os.close(file)

    def hint(self, job: JobView) -> str:
        """What to do, when the program failed for having no stdin; else empty."""
        if self._given or not job.exit_code:
            return ""
        end = last_bytes(self._place.logs / "stderr.log", _LAST_LINES_BYTES)
        return closed_stdin_hint(end.decode(errors="replace"))
