"""Starting a process of ours, and one that ends with the process that started it."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.private import UMASK, private_opener

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A process of ours: ``python -m MODULE ARGUMENTS`` in a session and with a log of its own."""

    module: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    """From ``our_environment``."""
    log: Path
    cwd: Path = Path("/")

    def start(self, *, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start it; what it and its children make is for this user only."""
        with open(self.log, "ab", opener=private_opener) as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", self.module, *self.arguments],
                env=self.environment,
                cwd=self.cwd,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=UMASK,
            )


def end_with_parent(number: signal.Signals) -> Callable[[], None]:
    """For ``preexec_fn``: the kernel sends the child this signal when its parent is gone.

    Only where the parent has no other threads; the signal comes when the thread that forked ends.
    """
    libc = ctypes.CDLL(None)  # now: between fork and exec nothing is to be loaded

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    return ask_the_kernel
