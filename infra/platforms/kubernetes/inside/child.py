"""The user's program as a child of its wrapper: outputs copied, signals passed on, reaped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ebbtide.infra.platforms.kubernetes.inside.begin.entrance import Entrance
from ebbtide.infra.platforms.kubernetes.inside.frames import LARGEST_BYTES, write_all
from ebbtide.infra.platforms.kubernetes.inside.spool import Spool
from ebbtide.infra.waiting import now_s

_PASSED_ON = (signal.SIGTERM, signal.SIGINT)
_LAST_OUTPUT_S = 1.0
"""For which what is left of a program that has ended may still print."""
_FIRST_TO_GO = "1000"


class Child:
    """One process, in a session of its own."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        spools: Mapping[str, Spool],
        entrance: Entrance | None = None,
    ):
        """Start it in the current folder.

        Args:
            argv: the command line.
            environ: all its variables.
            spools: ``stdout`` and ``stderr``.
            entrance: where what it reads comes in; None: it reads the end of a file.

        Raises:
            OSError: it cannot be started.
        """
        self.told_to_end_s: float | None = None
        """When it was passed a signal to end, on the clock of ``waiting``; None: it was not."""
        self._told: list[int] = []
        for number in _PASSED_ON:
            signal.signal(number, lambda number, _: self._told.append(number))
        self._process = subprocess.Popen(
            argv,
            env=environ,
            stdin=subprocess.DEVNULL if entrance is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._let_it_go_first()
        if entrance is not None and self._process.stdin is not None:
            entrance.give(os.dup(self._process.stdin.fileno()))
            self._process.stdin.close()
        pipes = {"stdout": self._process.stdout, "stderr": self._process.stderr}
        sinks = {"stdout": sys.stdout.fileno(), "stderr": sys.stderr.fileno()}
        self._copying = [
            threading.Thread(
                target=_copy, args=(pipe.fileno(), spools[name], sinks[name]), daemon=True
            )
            for name, pipe in pipes.items()
            if pipe is not None
        ]
        for thread in self._copying:
            thread.start()

    def wait(self, grace_s: float) -> int:
        """Wait for its end, passing signals on.

        Args:
            grace_s: from a signal that ends it to SIGKILL, in seconds.

        Returns:
            Its exit code; negative for the signal that ended it.
        """

        def pass_on(number: int, _: object) -> None:
            self._signal(number)
            self._note()
            timer = threading.Timer(grace_s, self._signal, (signal.SIGKILL,))
            timer.daemon = True
            # Of a thread: the handler runs between two lines of the main thread, which may just
            # then hold a lock of its own.
            threading.Thread(target=timer.start).start()

        for number in _PASSED_ON:
            signal.signal(number, pass_on)
        if self._told:  # meanwhile
            pass_on(self._told[0], None)
        code = self._process.wait()
        for number in _PASSED_ON:
            signal.signal(number, self._note)
        until_s = now_s() + _LAST_OUTPUT_S
        for thread in self._copying:
            thread.join(max(0.0, until_s - now_s()))
        self._signal(signal.SIGKILL)
        return code

    def _note(self, *_: object) -> None:
        self.told_to_end_s = self.told_to_end_s or now_s()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _let_it_go_first(self) -> None:
        """When the container runs out of memory: its wrapper shall tell of it."""
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._process.pid}/oom_score_adj").write_text(_FIRST_TO_GO)


def _copy(source: int, spool: Spool, sink: int) -> None:
    """To the bounded copy first, then to the container's own log."""
    while data := os.read(source, LARGEST_BYTES):
        spool.write(data)
        with contextlib.suppress(OSError):
            write_all(sink, data)
