"""A process of the stack that is started again when it dies, more slowly each time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ebbtide.infra.files import telling
from ebbtide.infra.policy.explain.telling import telling_line
from ebbtide.infra.processes.starting import end_with_parent
from ebbtide.infra.waiting import now_s, wait_until

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_LIVED_LONG_S = 300.0
_END_GRACE_S = 20.0


class Child:
    """A process ``python -m ARGV`` in its own session; the kernel kills it when we are killed."""

    def __init__(self, name: str, argv: Sequence[str], log: Path):
        self.name = name
        self.restarts = 0
        self.why = ""
        """The telling line of its last end."""
        self._argv = argv
        self._log = log
        self._log_offset = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._again_at_s = 0.0

    @property
    def pid(self) -> int:
        """The process id; 0 before the process was started."""
        return self._process.pid if self._process else 0

    @property
    def alive(self) -> bool:
        """Whether the process runs now."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, with the environment of this moment."""
        self._started_s = now_s()
        self._log_offset = telling.size_of(self._log)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", *self._argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(signal.SIGKILL),  # noqa: PLW1509  our only thread
            )
        self._again_at_s = 0.0

    def why_ended(self) -> str:
        """Return why the process has ended, as far as its log says so."""
        said = telling_line(telling.since(self._log, self._log_offset))
        code = self._process.returncode if self._process else None
        return said or f"it ended without a word (exit code {code})"

    def revive(self) -> bool:
        """Start the process again when it has died and its pause is over; return whether it was."""
        if self.alive:
            return False
        if not self._again_at_s:
            lived_long = now_s() - self._started_s > _LIVED_LONG_S
            self._pause_s = _FIRST_PAUSE_S if lived_long else self._pause_s
            self._again_at_s = now_s() + self._pause_s
            self.why = self.why_ended()
            print(f"{self.name} ended; started again in {self._pause_s:.0f} s", flush=True)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if now_s() < self._again_at_s:
            return False
        self.start()
        self.restarts += 1
        return True

    def end(self) -> None:
        """End the process with SIGTERM, and with SIGKILL when it does not end in time."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        if not wait_until(lambda: not self.alive, timeout_s=_END_GRACE_S):
            self._process.kill()
        self._process.wait()
