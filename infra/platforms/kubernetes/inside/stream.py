"""Follows a program's output from given offsets on: run by exec in ``files`` of the driver's pod.

It writes frames: ``{"stream", "offset", "bytes"}`` and the bytes; ``{"stream", "gap"}`` where the
bounded copy has lost some; ``{"alive"}`` when all has been said, and while nothing is new; and
``{"end"}``, the last, with how the program ended, or with nothing when its wrapper was killed.
Whoever follows sends a byte at least every ``SILENCE_S``, and leaves when the last frame has come.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from ebbtide.infra.platforms.kubernetes.inside.ending import read_end
from ebbtide.infra.platforms.kubernetes.inside.frames import (
    SILENCE_S,
    frame,
    wait_for_reader,
    write_all,
)
from ebbtide.infra.platforms.kubernetes.inside.spool import SpoolReader
from ebbtide.infra.waiting import wait_until

STREAMS = ("stdout", "stderr")
ALIVE_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.05
"""Somebody waits for the output; a look takes 0.03 ms."""


class Follower:
    """One who follows."""

    def __init__(self, folder: Path, offsets: dict[str, int], out: int):
        self._folder, self._out = folder, out
        self._readers = {name: SpoolReader(folder / name, offsets[name]) for name in STREAMS}
        self.over = False
        """Whether nothing comes any more, or nobody is there to read it."""

    def step(self) -> bool:
        """Send what is new. Returns whether there was any."""
        self._hear()
        if self.over:
            return True
        end = read_end(self._folder)  # first: all output is there before it
        sent = [self._send(name) for name in STREAMS]
        if any(sent):
            return True
        if end is not None:
            for name, size in end.get("bytes", {}).items():
                self._say_gap(name, size)
            self._say({"end": end})
            self.over = True
        return self.over

    def say_alive(self) -> None:
        """Tell whoever follows that there is nothing new."""
        self._say({"alive": True})

    def _hear(self) -> None:
        """Take signs of life of whoever follows."""
        while select.select([sys.stdin], [], [], 0)[0]:
            if not os.read(sys.stdin.fileno(), 2**10):
                self.over = True
                return
            signal.alarm(SILENCE_S)

    def _send(self, name: str) -> bool:
        reader = self._readers[name]
        gap, data = reader.read()
        if gap:
            offset = reader.offset - len(data) - gap
            self._say({"stream": name, "gap": gap, "offset": offset})
        if data:
            self._say({"stream": name, "offset": reader.offset - len(data)}, data)
        return bool(gap or data)

    def _say_gap(self, name: str, size: int) -> None:
        """Say what could not even be kept: the disk was full."""
        offset = self._readers[name].offset
        if size > offset:
            self._say({"stream": name, "gap": size - offset, "offset": offset})

    def _say(self, header: dict[str, Any], data: bytes = b"") -> None:
        try:
            write_all(self._out, frame(header, data))
        except OSError:
            self.over = True


def main() -> None:
    """Follow until the program has ended or nobody listens."""
    parser = argparse.ArgumentParser(prog="stream")
    parser.add_argument("folder", type=Path)
    for name in STREAMS:
        parser.add_argument(f"--{name}", type=int, default=0)
    told = parser.parse_args()
    signal.alarm(SILENCE_S)
    offsets = {name: int(getattr(told, name)) for name in STREAMS}
    follower = Follower(told.folder, offsets, sys.stdout.fileno())
    silence_s = 0.0
    while not follower.over:
        if not wait_until(
            follower.step, timeout_s=silence_s, first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S
        ):
            follower.say_alive()
            silence_s = ALIVE_S
    wait_for_reader()


if __name__ == "__main__":
    main()
