"""Copies what a program prints into the run's folder, over connections that may break.

What the pod's bounded copy has lost meanwhile is told as a cut, as it is of a local run.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ebbtide.infra.files.cuts import Cut, cut_of, make_cut
from ebbtide.infra.files.private import private_opener, write_private
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.shipping.collecting import Followed, Piece, follow_to_end
from ebbtide.infra.waiting import now_s

STREAMS = ("stdout", "stderr")
_STOP_S = 3.0
_TELL_AFTER_S = 10.0
"""An outage of so long is told; a shorter one concerns nobody."""


class OutputCopy:
    """One program's output, copied by a thread until its end has come."""

    def __init__(self, api: Api, pod: str, folder: Path, tell: Callable[[str], None]):
        """Begin.

        Args:
            api: of the namespace.
            pod: the driver's, whose output it is.
            folder: of the run, or of a program on a held cluster.
            tell: called with a sentence when the output has not been to be read for a while.
        """
        self._api, self._pod, self._folder, self._tell = api, pod, folder, tell
        before = self._before()
        for name in STREAMS:  # also of a program that prints nothing
            with contextlib.suppress(OSError):
                open(self._file(name), "ab", opener=private_opener).close()
        have = {name: _size(self._file(name)) for name in STREAMS}
        offsets = {name: max(0, have[name] - before.get(name, 0)) for name in STREAMS}
        self._seen = Followed(offsets=offsets)
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._broken_s: float | None = None
        self._told = False
        name = f"output of {pod}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def complete(self) -> bool:
        """Whether all of the output is there."""
        return self._seen.end is not None

    @property
    def end(self) -> Mapping[str, Any]:
        """How the program ended, as its wrapper said; empty while it runs, or when it did not."""
        return self._seen.end or {}

    @property
    def settled(self) -> bool:
        """Whether all that there was has come at some time, or cannot be read for now."""
        return self._seen.quiet or self._broken_s is not None or self._ended.is_set()

    def ends_within(self, timeout_s: float) -> bool:
        """Wait for the end of the output. Returns whether all of it is there."""
        return self._ended.wait(timeout_s) and self.complete

    def finish(self, timeout_s: float) -> bool:
        """Wait for the end of the output, and stop.

        Returns:
            Whether all of it is there.
        """
        self._ended.wait(timeout_s)
        self._stop.set()
        self._thread.join(_STOP_S)
        return self.complete

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # the disk is full: told by whoever writes to it next
            for piece in follow_to_end(self._api.run, self._pod, self._seen, self._gave_up):
                if self._stop.is_set():  # another copies it by now
                    break
                if piece is not None:
                    self._broken_s = None
                    self._take(piece)
        self._ended.set()

    def _before(self) -> dict[str, int]:
        """How much earlier attempts of the run had printed when this pod's copy began."""
        note = self._folder / f".{self._pod}.json"
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, int] = json.loads(note.read_text())
            return found
        before = {name: _size(self._file(name)) for name in STREAMS}
        with contextlib.suppress(OSError):
            write_private(note, json.dumps(before))
        return before

    def _gave_up(self, error: ApiError | None) -> bool:
        if error is None:
            self._broken_s, self._told = None, False
        elif self._broken_s is None:
            self._broken_s = now_s()
        elif not self._told and now_s() - self._broken_s > _TELL_AFTER_S:
            self._told = True
            self._tell(f"the program's output cannot be read for now: {error.message}")
        return self._stop.is_set()

    def _take(self, piece: Piece) -> None:
        path = self._file(piece.stream)
        have = _size(path)
        with open(path, "ab", opener=private_opener) as file:
            file.truncate(have + piece.gap)
        if piece.gap:
            before = cut_of(path)
            start = before.start if before is not None else have
            make_cut(path, Cut(start, have + piece.gap, layout.OUTPUT_BYTES))
        with open(path, "ab", opener=private_opener) as file:
            file.write(piece.data)

    def _file(self, stream: str) -> Path:
        return self._folder / f"{stream}.log"


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
