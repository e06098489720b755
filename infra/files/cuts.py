"""Where an output file was cut: its middle has gone, and what stood behind it is where it was.

A program writes its output itself and must not be disturbed, so the supervisor takes the middle of
a file that has grown too large out of it (a hole: the offsets go on) and writes down where. Belongs
here: that note, and making the hole. Does not belong here: when and how much (the supervisor),
reading past it (``infra.files.tails``).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.models.resources import format_memory

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


@dataclass(frozen=True, slots=True)
class Cut:
    """What is missing, in bytes from the file's beginning."""

    start: int
    end: int
    limit: int = 0
    """The ``--max-output`` that asked for it; 0: the disk was nearly full."""

    @property
    def why(self) -> str:
        """In words."""
        return f"--max-output {format_memory(self.limit)}" if self.limit else "the disk is full"


def cut_of(path: Path) -> Cut | None:
    """The cut of this output file; None when it is whole."""
    try:
        start, end, limit = os.readlink(_note_of(path)).split("-")
        return Cut(int(start), int(end), int(limit))
    except (OSError, ValueError):
        return None


def make_cut(path: Path, cut: Cut) -> bool:
    """Take it out of the file. Returns False where the file system cannot.

    It is written down first: whoever looks for a note after reading has either read what was
    there, or is told that it is gone. The note is a symbolic link that leads nowhere, because that
    can be made, and replaced at once, on a disk that is full.

    Raises:
        OSError: when it could not be done this time.
    """
    note = _note_of(path)
    draft = note.with_name(f"{note.name}-draft")
    before = cut_of(path)
    draft.unlink(missing_ok=True)
    os.symlink(f"{cut.start}-{cut.end}-{cut.limit}", draft)
    os.rename(draft, note)
    try:
        _punch(path, cut.start, cut.end - cut.start)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if before is None:
            note.unlink()
        return False
    return True


def _note_of(path: Path) -> Path:
    """Return where a cut is written down. Logs of ours are told apart by more than their suffix."""
    return path.with_suffix(".cut") if path.suffix == ".log" else Path(f"{path}.cut")


def _punch(path: Path, offset: int, length: int) -> None:
    """Linux' fallocate(2) with a hole: the file keeps its size and gives its blocks back."""
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
        if fallocate is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        mode = _KEEP_SIZE | _PUNCH_HOLE
        if fallocate(file, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        with contextlib.suppress(OSError):
            os.close(file)
