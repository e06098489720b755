"""The line of a log that tells why a process has ended."""

from __future__ import annotations

import re
from pathlib import Path

_ERROR = re.compile(r"^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)?: .+")
_NOISE = re.compile(r"^[\s─━╭╰│|^~]*$|^(Traceback|During handling|The above exception)")
_LONGEST = 300
_MAX_BYTES = 2**16


def size_of(log: Path) -> int:
    """Return the size of a log in bytes; 0 when it does not exist."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def since(log: Path, offset: int) -> str:
    """Return the line that tells why a process ended, from what was written after ``offset``."""
    try:
        with log.open("rb") as file:
            file.seek(offset if offset <= size_of(log) else 0)  # it may have been rotated
            return telling_line(file.read(_MAX_BYTES).decode(errors="replace"))
    except OSError:
        return ""


def telling_line(text: str) -> str:
    """Return the first traceback's last line; without one, the last line that says anything."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("Traceback (")]
    for line in lines[starts[0] + 1 :] if starts else ():
        if _ERROR.match(line):
            return line[:_LONGEST]
    telling = [line.strip() for line in lines if not _NOISE.match(line)]
    return telling[-1][:_LONGEST] if telling else ""
