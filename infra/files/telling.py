"""What a process has written to its log since a moment; ``policy.explain`` finds what tells."""

from __future__ import annotations

from pathlib import Path

_MAX_BYTES = 2**16


def size_of(log: Path) -> int:
    """Return the size of a log in bytes; 0 when it does not exist."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def since(log: Path, offset: int) -> str:
    """Return what was written after ``offset``, at most 64 KiB of it."""
    try:
        with log.open("rb") as file:
            file.seek(offset if offset <= size_of(log) else 0)  # it may have been rotated
            return file.read(_MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""
