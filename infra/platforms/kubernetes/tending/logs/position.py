"""How far a container's log has been read, so that a new answer loses and repeats no line. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from ebbtide.infra.platforms.kubernetes.spelling import unix_time

_SECOND_NS = 10**9
_LATE_S = 1
"""A line may stand behind one that is newer by less: stdout and stderr are given their times before
they are written, each by itself."""


class Position:
    """By the times that the kubelet writes before the lines.

    An answer can begin at a whole second only, so it begins with lines that are here: as many are
    left out as were read from that second on. Were the first of them not there any more, the
    kubelet has rotated the file, and what stood between may have been lost.
    """

    def __init__(self) -> None:
        self._times: list[int] = []
        """Of the lines since ``_since_s``, in nanoseconds, in the order of the file."""
        self._since_s = 0
        self._to_skip: int | None = 0
        """Of this answer; None before its first line has told."""
        self.lost = False
        """Whether lines may be missing before the one that was taken last."""

    @property
    def since(self) -> str:
        """From when on to ask; empty: from the beginning."""
        if not self._times:
            return ""
        return datetime.fromtimestamp(self._since_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def resume(self) -> None:
        """A new answer begins, from ``since`` on."""
        self._to_skip = None if self._times else 0

    def take(self, line: bytes) -> bytes | None:
        """Take the next line of an answer.

        Args:
            line: as the kubelet sends it, with its time.

        Returns:
            The line as it was printed; None when it is here already.
        """
        time, text = _split(line)
        at = _nanoseconds(time)
        self.lost = False
        if self._to_skip is None:
            if at < min(self._times):
                return None  # the rest of a line that is longer than the runtime's pieces
            known = at in self._times
            self._to_skip = len(self._times) - self._times.index(at) if known else 0
            self.lost = not known
        if self._to_skip:
            self._to_skip -= 1
            return None
        self._note(at)
        return text

    @property
    def unmet(self) -> bool:
        """Whether the answer had none of the lines from which it was to go on."""
        return self._to_skip is None

    def _note(self, at: int) -> None:
        since_s = at // _SECOND_NS - _LATE_S
        if since_s > self._since_s:
            self._since_s = since_s
            self._times = [time for time in self._times if time >= since_s * _SECOND_NS]
        if at >= self._since_s * _SECOND_NS:
            self._times.append(at)


def _split(line: bytes) -> tuple[str, bytes]:
    time, _, text = line.partition(b" ")
    return time.decode(errors="replace"), text


def _nanoseconds(time: str) -> int:
    """Such as ``2026-11-27T10:00:00.123456789Z``; its trailing zeros may be left out."""
    whole, _, rest = time.partition(".")
    digits = rest.rstrip("Z").partition("+")[0].partition("-")[0]
    zone = rest[len(digits) :] if rest else ""
    return _seconds(whole + zone) * _SECOND_NS + int(digits.ljust(9, "0")[:9] or 0)


@lru_cache(maxsize=16)
def _seconds(time: str) -> int:
    return int(unix_time(time))
