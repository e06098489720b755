"""How much of a program's output goes to Prefect's logs: enough to follow it, never a flood.

Pure. The whole output is in the run's folder (``ebb logs``); Prefect's server keeps every line it
is sent in its database (measured: 2.5 ms a line), so a program that prints without end must not
fill it.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_LINE = 2000
"""Characters of a line that are passed on."""


@dataclass(slots=True)
class Throttle:
    """A bucket of lines that fills again with time."""

    burst: int = 200
    """Lines that may come at once."""
    per_s: float = 10.0
    """Lines a second that the bucket gains."""
    dropped: int = 0
    """Lines kept back since they were last told of."""
    _left: float = -1.0
    _last_s: float = 0.0

    def take(self, lines: list[str], now_s: float) -> list[str]:
        """Return the lines to pass on now; the rest is counted in ``dropped``."""
        if self._left < 0:
            self._left, self._last_s = float(self.burst), now_s
        gained = (now_s - self._last_s) * self.per_s
        self._left, self._last_s = min(float(self.burst), self._left + gained), now_s
        count = min(len(lines), int(self._left))
        self._left -= count
        self.dropped += len(lines) - count
        return [_short(line) for line in lines[:count]]

    def told(self) -> int:
        """Return the number of lines kept back since the last call."""
        count, self.dropped = self.dropped, 0
        return count


def _short(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"
