"""Prints what other processes append to files of a folder, so that it is in this process's log.

For members in pods: their folders go with them, and what they print is kept.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

_PIECE_BYTES = 2**16


class Shown:
    """The files of a folder that match some patterns, also those that come later; whole lines."""

    def __init__(self, folder: Path, outputs: Mapping[str, int], without: tuple[bytes, ...] = ()):
        """Print nothing yet.

        Args:
            folder: which need not be there yet.
            outputs: for each pattern, such as ``*.out``, the descriptor that its files go to.
            without: lines that begin so are left out.
        """
        self._folder, self._outputs, self._without = folder, outputs, without
        self._read: dict[int, int] = {}
        """How many bytes of each have been printed, by its inode: a file that is rolled gets
        another name."""

    def look(self, *, last: bool = False) -> None:
        """Print what is new; with ``last`` also the beginning of a line."""
        for pattern, output in self._outputs.items():
            for path in sorted(self._folder.glob(pattern)):
                with contextlib.suppress(OSError), path.open("rb") as file:
                    self._show(file.fileno(), output, last=last)

    def _show(self, file: int, output: int, *, last: bool) -> None:
        inode = os.fstat(file).st_ino
        while data := os.pread(file, _PIECE_BYTES, self._read.get(inode, 0)):
            is_full = len(data) == _PIECE_BYTES
            whole = data if last else data[: data.rfind(b"\n") + 1]
            if is_full and not whole:  # a line that is longer
                whole = data
            self._read[inode] = self._read.get(inode, 0) + len(whole)
            self._print(output, whole)
            if not is_full:
                return

    def _print(self, output: int, whole: bytes) -> None:
        lines = whole.splitlines(keepends=True)
        rest = b"".join(line for line in lines if not line.startswith(self._without))
        while rest:
            rest = rest[os.write(output, rest) :]
