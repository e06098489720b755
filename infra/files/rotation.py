"""Logs of processes that go on for long: cut before they fill the disk.

Who writes holds the file open for appending, and none of it can be told to open another. So what is
there is copied aside and the file is emptied. The copy is brought up to the last byte right before;
a line written within those microseconds is lost, which only happens in the middle of a flood.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

MAX_BYTES = 5 * 2**20
KEPT = 2
"""Old ones beside the current one: LOG.1 is the younger."""


def rotate(log: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> bool:
    """Move what is in a log to LOG.1 when the log is too long. On a full disk LOG.1 is lost.

    Args:
        log: the file; whoever writes to it keeps it open.
        max_bytes: a log that is longer is cut.
        kept: number of old logs beside the current one; LOG.1 is the youngest.

    Returns:
        Whether the log was cut.
    """
    with contextlib.suppress(OSError):
        if log.stat().st_size <= max_bytes:
            return False
        for number in range(kept, 1, -1):
            younger = _old(log, number - 1)
            if younger.exists():
                younger.replace(_old(log, number))
        try:
            _empty_into(log, _old(log, 1))
        except OSError:  # no room for the copy: the log must not fill the rest
            _old(log, 1).unlink(missing_ok=True)
            os.truncate(log, 0)
        return True
    return False


def _empty_into(log: Path, aside: Path) -> None:
    opener = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with log.open("rb") as source, os.fdopen(opener, "wb") as target:
        shutil.copyfileobj(source, target)
        target.flush()
        while late := source.read(2**16):
            target.write(late)
        os.truncate(log, 0)


def _old(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")
