"""What a framework wants to run beside the program: started before it, and again until it is ready.

It says so by a line ``ready`` on its standard output, with the program's variables as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from ebbtide.infra.platforms.kubernetes.inside.told import BesideSettings
from ebbtide.infra.processes.environment import instead_of_the_users, member_environment
from ebbtide.infra.waiting import wait_until

_READY = b"ready"
_FILLED_IN = ("POD_IP", "POD_NAME")
"""As the kubelet would, were this a container's own command line."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 1.0
_GRACE_S = 2.0
_LAST_LINE_BYTES = 2**12


class Beside:
    """One process, in a session of its own."""

    def __init__(self, told: BesideSettings, environ: Mapping[str, str]):
        """Start nothing yet.

        Args:
            told: what it is.
            environ: of the program's wrapper.
        """
        self._argv = [_filled_in(word, environ) for word in told.argv]
        env = instead_of_the_users(member_environment(environ, {}), told.not_for_tasks)
        added = {name: _filled_in(value, environ) for name, value in told.env.items()}
        self._env = {**env, **added}
        self._log = Path(told.log)
        self._ready = threading.Event()
        self.variables: dict[str, str] = {}
        """Of the program, once this is ready."""
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in the current folder.

        Raises:
            OSError: it cannot be started.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdout is not None
        threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True).start()

    def is_ready_within(self, timeout_s: float) -> bool:
        """Wait for it, and start it again when it ends before it is ready.

        Args:
            timeout_s: how long, in seconds.

        Returns:
            Whether it is ready.

        Raises:
            OSError: it cannot be started again.
        """

        def ready() -> bool:
            if self._ready.is_set():
                return True
            if self._process is not None and self._process.poll() is not None:
                self.start()
            return False

        pauses = {"first_s": _FIRST_PAUSE_S, "longest_s": _LONGEST_PAUSE_S}
        return wait_until(ready, timeout_s=timeout_s, **pauses)

    def last_line(self) -> str:
        """Return the last line that it has printed."""
        said = b""
        with contextlib.suppress(OSError):
            said = self._log.read_bytes()[-_LAST_LINE_BYTES:]
        lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
        return next(filter(None, reversed(lines)), "it says nothing")

    def end(self) -> None:
        """Tell it to leave, and end it when it does not; at once when it was never started."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE_S)
        self._signal(signal.SIGKILL)

    def _listen(self, said: IO[bytes]) -> None:
        for line in said:
            word, _, variables = line.strip().partition(b" ")
            if word == _READY:
                self.variables = json.loads(variables or b"{}")
                self._ready.set()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process is not None:
                os.killpg(self._process.pid, number)


def _filled_in(text: str, environ: Mapping[str, str]) -> str:
    for name in _FILLED_IN:
        text = text.replace(f"$({name})", environ.get(name, ""))
    return text
