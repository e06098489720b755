"""A command that runs in a container, with stdin, stdout and stderr."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

from ebbtide.infra.platforms.kubernetes.answers.bodies import CHUNK_BYTES, innermost
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.credentials.base import Channels

_STDIN, STDOUT, STDERR, STATUS = range(4)
"""The channels of a command; on the last one the server says how it ended."""


class Exec:
    """A command that runs; a context manager that ends the connection."""

    def __init__(self, channels: Channels, asked: str):
        self._channels, self._asked = channels, asked
        self._held = {STDOUT: b"", STDERR: b"", STATUS: b""}

    def __enter__(self) -> Exec:
        return self

    def __exit__(self, *_: object) -> None:
        self._channels.close()

    def write(self, data: bytes) -> None:
        """Send to its stdin. There is no end of it: say a length first.

        Raises:
            ApiError: the connection was lost.
        """
        with as_api_errors(self._asked):
            for start in range(0, len(data), CHUNK_BYTES):
                self._channels.send(_STDIN, data[start : start + CHUNK_BYTES])

    def read(self, timeout_s: float) -> bytes | None:
        """Return what it has printed; empty when nothing has come in time, None when it ended.

        Raises:
            ApiError: the connection was lost.
        """
        if not self._held[STDOUT]:
            with as_api_errors(self._asked):
                self._take(timeout_s)
        found = self._taken(STDOUT)
        return found if found or self._channels.is_open else None

    @property
    def code(self) -> int | None:
        """Its exit code; None when it is not known: it runs, or the connection was lost."""
        try:
            status = json.loads(self._held[STATUS])
            if status["status"] == "Success":
                return 0
            return int(status["details"]["causes"][0]["message"])
        except (ValueError, LookupError, TypeError):
            return None

    @property
    def errors(self) -> str:
        """What it has printed to stderr since this was last asked."""
        with contextlib.suppress(Exception):  # the connection is lost, and what was on its way
            self._take(0)
        return self._taken(STDERR).decode(errors="replace")

    def _take(self, timeout_s: float) -> None:
        channel, data = self._channels.receive(timeout_s)
        if channel in self._held:
            self._held[channel] += data

    def _taken(self, channel: int) -> bytes:
        found, self._held[channel] = self._held[channel], b""
        return found


@contextlib.contextmanager
def as_api_errors(asked: str) -> Iterator[None]:
    """Errors of libraries as ours.

    Args:
        asked: what was asked for.

    Raises:
        ApiError: instead of whatever else comes.
    """
    try:
        yield
    except ApiError:
        raise
    except Exception as error:  # of sockets, HTTP and web sockets, each with a tree of its own
        raise ApiError(0, type(error).__name__, innermost(error), asked=asked) from error
