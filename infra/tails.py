"""Following a file that grows: what it has gained since it was last looked at."""

from __future__ import annotations

import contextlib
from pathlib import Path


class Tail:
    """What a file has gained since it was last looked at."""

    def __init__(self, path: Path):
        self._path = path
        self._offset = 0

    def read(self, most_bytes: int = -1) -> bytes:
        """New bytes, at most so many; empty when there are none."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(most_bytes)
            self._offset += len(data)
            return data
        return b""
