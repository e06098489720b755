"""The standard input of ``ebb run``, as its program may read it.

A pipe or file is handed over as it is. A terminal stays ours, because it goes on to serve others
when the run has ended or was let go of: what is typed is passed on line by line, while ``ebb run``
is in the foreground and asks nothing itself, and not before the program has read the line before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import threading
from collections.abc import Iterator

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.platforms.base import Platform

_LOOK_S = 0.1
_LINE_BYTES = 4096
"""A terminal gives one line at a time, and none is longer."""


_STDIN = 0


class Stdin:
    """Standard input of this process."""

    def __init__(self) -> None:
        self._terminal: _Terminal | None = None

    @contextlib.contextmanager
    def passed_on(self, platform: Platform, run: RunName) -> Iterator[None]:
        """Let the program of a run read it while the block lasts."""
        if sys.__stdin__ is None:  # closed from the start: its number is some other file's by now
            yield
        elif not os.isatty(_STDIN):
            with platform.attach_stdin(run, _STDIN):
                yield
        else:
            self._terminal = _Terminal(_STDIN)
            try:
                with platform.attach_stdin(run, self._terminal.for_program):
                    yield
            finally:
                self._terminal.close()

    @contextlib.contextmanager
    def kept_for_us(self) -> Iterator[None]:
        """What is typed while the block lasts is an answer to us."""
        if self._terminal is None:
            yield
        else:
            with self._terminal.lock:
                yield


class _Terminal:
    """Passes on what is typed."""

    def __init__(self, terminal: int):
        self.for_program, self._to_program = os.pipe()
        self.lock = threading.Lock()
        """Held by whoever reads from the terminal."""
        self._number = terminal
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._pass_on, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Nothing more is passed on: the program reads the end of a file."""
        self._over.set()
        self._thread.join()
        os.close(self.for_program)

    def _pass_on(self) -> None:
        # In the background a read then fails; otherwise it would stop this whole process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTIN})
        typed = select.poll()
        typed.register(self._number, select.POLLIN)
        try:
            while not self._over.is_set():
                if not (typed.poll(1000 * _LOOK_S) and self._wanted()):
                    self._over.wait(_LOOK_S if typed.poll(0) else 0)
                    continue
                with self.lock:
                    # Whoever had the lock may have read it.
                    line = os.read(self._number, _LINE_BYTES) if typed.poll(0) else None
                if line == b"":  # Ctrl-D
                    return
                os.write(self._to_program, line or b"")
        except OSError:  # the terminal has gone
            return
        finally:
            os.close(self._to_program)

    def _wanted(self) -> bool:
        """Whether the program has read all it was given, and what is typed is for this process."""
        size = fcntl.ioctl(self.for_program, termios.FIONREAD, bytes(4))
        return not struct.unpack("i", size)[0] and self._in_foreground()

    def _in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._number) == os.getpgrp()
        except OSError:  # a terminal that no shell controls this process by
            return True
