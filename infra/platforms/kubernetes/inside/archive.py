"""Sends a folder as frames of a tar archive: run by exec in a container that has it.

Regular files and folders as they are at that moment; a file that shrinks meanwhile is filled up
with zeros, one that grows is cut where it was. With the log's folder as second argument it notes in
it that all of the program has been taken.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import tarfile
from pathlib import Path
from typing import BinaryIO

from ebbtide.infra.platforms.kubernetes.inside import ending
from ebbtide.infra.platforms.kubernetes.inside.frames import (
    LARGEST_BYTES,
    SILENCE_S,
    frame,
    wait_for_reader,
    write_all,
)


class _Out:
    """Takes what tarfile writes and sends it in frames."""

    def __init__(self, file: int):
        self._file, self._held = file, bytearray()

    def write(self, data: bytes) -> int:
        self._held += data
        while len(self._held) >= LARGEST_BYTES:
            self._send(bytes(self._held[:LARGEST_BYTES]))
            del self._held[:LARGEST_BYTES]
        return len(data)

    def finish(self, files: int) -> None:
        self._send(bytes(self._held))
        write_all(self._file, frame({"end": {"files": files}}))

    def _send(self, data: bytes) -> None:
        signal.alarm(SILENCE_S)  # an exec outlives who started it
        write_all(self._file, frame({"part": "tar"}, data))


class _Exactly:
    """So many bytes of a file, whatever happens to it."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size

    def read(self, size: int) -> bytes:
        wanted = min(size, self._left)
        data = self._file.read(wanted)
        self._left -= wanted
        return data.ljust(wanted, b"\0")


def send(folder: Path, out: int) -> None:
    """Send a folder; nothing is in the archive when there is no such folder.

    Raises:
        OSError: nobody reads it any more.
    """
    target, count = _Out(out), 0
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        for where, folders, names in os.walk(folder):
            folders.sort()
            for name in sorted(names):
                path = Path(where, name)
                with contextlib.suppress(FileNotFoundError, PermissionError):
                    count += _add(tar, path, str(path.relative_to(folder)))
    target.finish(count)


def _add(tar: tarfile.TarFile, path: Path, name: str) -> int:
    """Add one file. Returns how many that were: a pipe or a link is none."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return 0
    with path.open("rb") as file:
        found = os.fstat(file.fileno())
        info = tarfile.TarInfo(name)
        info.size, info.mtime = found.st_size, int(found.st_mtime)
        info.mode = stat.S_IMODE(found.st_mode) & 0o755 | 0o600
        tar.addfile(info, _Exactly(file, found.st_size))  # type: ignore[arg-type]
    return 1


if __name__ == "__main__":
    send(Path(sys.argv[1]), sys.stdout.fileno())
    wait_for_reader()
    for log in sys.argv[2:]:
        ending.write_collected(Path(log))
