"""The wrapper's side of bringing a program's output to a URL: a process and its deadline."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.infra.waiting import now_s

_MODULE = f"{__package__}.outputs"
STALLED_S = 300
"""Nothing has been taken for so long: SIGALRM ends that process."""
_LOOK_S = 60.0
"""Finding out whether it can be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What became of a program's output."""

    url: str
    files: int = 0
    bytes_: int = 0
    lost: str = ""
    """Why it could not be stored, as a sentence; empty: it was."""

    def data(self) -> dict[str, Any]:
        """As the wrapper tells it."""
        if self.lost:
            return {"url": self.url, "lost": self.lost}
        return {"url": self.url, "files": self.files, "bytes": self.bytes_}


class Storing:
    """Of one program."""

    def __init__(self, url: str, folder: str, environ: Mapping[str, str]):
        """Nothing is done yet.

        Args:
            url: where it is brought.
            folder: what the program writes to.
            environ: of the program: credentials are in it.
        """
        self._url, self._folder = url, folder
        self._environ = {name: value for name, value in environ.items() if name != "PYTHONSTARTUP"}

    def cannot(self) -> str:
        """Why it could not be stored, as far as that can be known before; empty: it could."""
        try:
            done = subprocess.run(
                self._argv(),
                env=self._environ,
                stdout=subprocess.PIPE,
                timeout=_LOOK_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return self._told(f"there was no answer for {_LOOK_S:.0f} s")
        return self._told(_error(done.stdout, done.returncode))

    def store(self, told_to_end_s: float | None, within_s: float) -> Stored:
        """Bring it there.

        Args:
            told_to_end_s: when the pod was told to end, on the clock of ``waiting``; None: it was
                not, or will be yet.
            within_s: from then on it has so long, in seconds.

        Returns:
            What became of it.
        """
        late = threading.Event()
        process = subprocess.Popen(
            self._argv(self._folder),
            env=self._environ,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

        def give_up() -> None:
            late.set()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        def hurry(*_: object) -> None:
            left_s = max(0.0, (told_to_end_s or now_s()) + within_s - now_s())
            timer = threading.Timer(left_s, give_up)
            timer.daemon = True
            threading.Thread(target=timer.start).start()

        signal.signal(signal.SIGTERM, hurry)
        if told_to_end_s is not None:
            hurry()
        said, _ = process.communicate()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        too_late = f"it was told to end, and {within_s:.0f} s were not enough"
        error = too_late if late.is_set() else _error(said, process.returncode)
        if error:
            return Stored(url=self._url, lost=self._told(error))
        found = json.loads(said)
        return Stored(url=self._url, files=found["files"], bytes_=found["bytes"])

    def _argv(self, folder: str = "") -> list[str]:
        return [*filter(None, (sys.executable, "-P", "-m", _MODULE, self._url, folder))]

    def _told(self, why: str) -> str:
        return f"EBB_OUTPUT_DIR cannot be stored at {self._url}: {why}" if why else ""


def _error(said: bytes, code: int) -> str:
    """What is wrong with what the process has said; empty when it did what it should."""
    if code == -signal.SIGALRM:
        return f"nothing was taken for {STALLED_S} s"
    try:
        return str(json.loads(said).get("error") or "")
    except ValueError:
        return f"the process that does it ended with {code}"
