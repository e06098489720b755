"""The user's program as the supervisor's child: started once, watched, ended, remembered.

Its output and exit code reach the run's folder before anything else hears of them, so that a flow
or a supervisor that dies afterwards makes nobody run it again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ebbtide.infra.files.private import write_whole
from ebbtide.infra.files.room import disk_full, is_full
from ebbtide.infra.files.tails import last_bytes
from ebbtide.infra.models.cluster import JobView
from ebbtide.infra.models.codec import from_data, to_data
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import processes
from ebbtide.infra.platforms.local.metrics import TreeMeter
from ebbtide.infra.policy.explain.known import hint_for
from ebbtide.infra.policy.explain.telling import error_line
from ebbtide.infra.waiting import now_s, wait_until, wall_s

_FULL_BYTES = 2**20
"""A disk with less room than this may well be why a program failed."""
_TAIL_BYTES = 2**16
_GRACE_S = 3.0
"""From SIGTERM to SIGKILL; the whole release must end within seconds."""


class _Printed(NamedTuple):
    size: int
    """Bytes."""
    at: float
    """When it was last written to; Unix time, seconds."""


class Driver:
    """At most one process."""

    def __init__(self, job: JobSpec, place: processes.ProcessContext):
        self.job = job
        self.place = place
        self.view = JobView()
        self.started_s = 0.0
        self.meter: TreeMeter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_because: tuple[Reason, str] | None = None
        self._earlier_bytes = 0

    @property
    def running(self) -> bool:
        """Whether the program runs now."""
        return self._process is not None and self.view.ended_at is None

    @property
    def cores(self) -> float | None:
        """Average number of cores that it uses; None before it has been measured twice."""
        return self.meter.cores if self.meter is not None else None

    def start(self, environment: Mapping[str, str], stdin: int = subprocess.DEVNULL) -> None:
        """Start the program, with a file that it may read, unless this run has already run it."""
        if self._process is not None or self._remembered():
            return
        self.started_s, self._earlier_bytes = now_s(), self._printed().size
        try:
            self._process = processes.start_program(
                self.place, self.job.argv, environment, Path(self.job.workdir), stdin
            )
        except OSError as error:
            because = (Reason.NOT_STARTED, f"{self.job.argv[0]}: {error.strerror}")
            if is_full(error):  # there is no room for what it would print
                full = disk_full(error, self.place.logs)
                because = (full.reason, full.detail)
            self._finish(None, because)
            return
        self.meter = TreeMeter(self._process.pid)
        self.view = JobView(started_at=wall_s())

    def poll(self, out_of_memory: str) -> bool:
        """Whether the program has just ended.

        Args:
            out_of_memory: what is known of processes killed for their memory, for naming the cause.
        """
        if not self.running or self._process is None:
            return False
        if self.meter is not None:
            self.meter.sample_the_end(now_s())
        self._look_for_output()
        code = self._process.poll()
        if code is None:
            return False
        reason = self._ended_because
        if reason is None and code != 0 and out_of_memory:
            reason = (Reason.OUT_OF_MEMORY, out_of_memory)
        if reason is None and code != 0 and _is_full(self.place.logs):
            reason = (Reason.EXIT_CODE, f"the disk is full: {self.place.home}")
        self._finish(code, reason)
        return True

    def end(self, reason: Reason, detail: str, *, at_once: bool = False) -> None:
        """End the program for a reason of ours: SIGTERM, and SIGKILL three seconds later.

        Args:
            reason: why, recorded as the reason of its end.
            detail: one sentence for people.
            at_once: whether it gets SIGKILL at once.
        """
        if not self.running or self._process is None:
            return
        self._ended_because = (reason, detail)
        process = self._process
        if not at_once:
            self._signal(signal.SIGTERM)
            wait_until(lambda: process.poll() is not None, timeout_s=_GRACE_S)
        self._signal(signal.SIGKILL)
        process.wait()

    def ask_to_end(self) -> None:
        """SIGTERM only: whoever sweeps the cluster next does not wait for an answer."""
        if self.running:
            self._signal(signal.SIGTERM)

    def _look_for_output(self) -> None:
        """Its file tells when it was last written to; at the first look that is the first line."""
        if self.view.first_output_at is None:
            printed = self._printed()
            if printed.size > self._earlier_bytes:
                self.view = replace(self.view, first_output_at=printed.at)

    def _printed(self) -> _Printed:
        """What is in its standard output, an earlier attempt's included."""
        try:
            found = os.stat(self.place.logs / "stdout.log")
        except OSError:
            return _Printed(0, 0.0)
        return _Printed(found.st_size, found.st_mtime)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _finish(self, code: int | None, because: tuple[Reason, str] | None) -> None:
        hint = ""
        reason, detail = because or (None if code == 0 else Reason.EXIT_CODE, "")
        if reason is Reason.EXIT_CODE and not detail:
            raw = last_bytes(self.place.logs / "stderr.log", _TAIL_BYTES)
            said = raw.decode(errors="replace")
            detail, hint = error_line(said), hint_for(said, self.place.run)
        self.view = JobView(
            started_at=self.view.started_at,
            first_output_at=self.view.first_output_at,
            ended_at=wall_s(),
            exit_code=code,
            reason=reason,
            detail=detail,
            hint=hint,
        )
        self._remember()

    @property
    def _memory(self) -> Path:
        return self.place.logs / f"exit-{self.place.cluster}.json"

    def _remember(self) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep the cluster
            write_whole(self._memory, json.dumps(to_data(self.view)))

    def _remembered(self) -> bool:
        try:
            facts = json.loads(self._memory.read_text())
        except (OSError, ValueError):
            return False
        self.view = from_data(JobView, facts)
        return True


def _is_full(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        disk = os.statvfs(folder)
        return disk.f_bavail * disk.f_frsize < _FULL_BYTES
    return False
