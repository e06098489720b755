"""How a program ended, as its wrapper tells: to the kubelet, and to whoever follows its output.

The lock is held as long as the wrapper lives: who follows sees also that it was killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from pathlib import Path
from typing import Any

MESSAGE_BYTES = 4096
"""The kubelet keeps no more of a termination message."""
_END, _LOCK, _COLLECTED = "end.json", "lock", "collected"
_OPTIONAL = ("notes", "hint", "telling", "not_started")
"""Left out of a message that is too long, in this order."""


def message(end: dict[str, Any]) -> bytes:
    """Return the end as a termination message, short enough for the kubelet."""
    told = dict(end)
    for name in ("", *_OPTIONAL):
        told.pop(name, None)
        text = json.dumps(told).encode()
        if len(text) <= MESSAGE_BYTES:
            break
    return text


def hold_lock(folder: Path) -> int:
    """Take the lock of this wrapper, for as long as the process lives. Returns the open file."""
    draft = folder / f"{_LOCK}.draft"
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(file, fcntl.LOCK_EX)
    draft.rename(folder / _LOCK)
    return file


def write_end(folder: Path, end: dict[str, Any]) -> None:
    """Say that the program has ended and all of its output is there."""
    draft = folder / f"{_END}.draft"
    draft.write_text(json.dumps(end))
    draft.rename(folder / _END)


def read_end(folder: Path) -> dict[str, Any] | None:
    """Return how it ended; None when it has not, or empty when its wrapper was killed."""
    end = _read(folder)
    if end is not None:
        return end
    try:
        file = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # it has not begun
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    finally:
        os.close(file)
    return _read(folder) or {}


def has_begun(folder: Path) -> bool:
    """Whether a wrapper has written to this folder."""
    return (folder / _LOCK).exists()


def write_collected(folder: Path) -> None:
    """Say that whoever drives the run has all that the program left."""
    (folder / _COLLECTED).touch()


def is_collected(folder: Path) -> bool:
    """Whether nobody needs anything of the program any more."""
    return (folder / _COLLECTED).exists()


def _read(folder: Path) -> dict[str, Any] | None:
    with contextlib.suppress(FileNotFoundError):
        found: dict[str, Any] = json.loads((folder / _END).read_text())
        return found
    return None
