"""Bodies of answers, whole or as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import urllib3

from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.waiting import wall_s

CHUNK_BYTES = 2**16
_SAME_CLOCK_S = 2.0


def pieces(answer: urllib3.BaseHTTPResponse, path: str) -> Iterator[bytes]:
    """Yield an answer as it comes, and close it.

    Raises:
        ApiError: the connection was lost.
    """
    try:
        while piece := answer.read1(CHUNK_BYTES):
            yield piece
    except urllib3.exceptions.HTTPError as error:
        raise ApiError(0, type(error).__name__, innermost(error), asked=f"GET {path}") from error
    finally:
        answer.close()
        answer.release_conn()


def lines(answer: urllib3.BaseHTTPResponse, path: str) -> Iterator[bytes]:
    """Yield the lines of an answer as they come, without empty ones; as ``pieces``."""
    rest = b""
    for piece in pieces(answer, path):
        *whole, rest = (rest + piece).split(b"\n")
        yield from filter(None, whole)


def content(answer: urllib3.BaseHTTPResponse) -> Any:
    """What a whole answer says: JSON, or text where it is none."""
    try:
        return json.loads(answer.data)
    except ValueError:
        return answer.data.decode(errors="replace")


def ahead_s(date: str | None, before: float) -> float:
    """Tell by how much the server's clock is ahead of ours, in seconds, from an answer's ``Date``.

    Args:
        date: cut to seconds; None: there was none.
        before: what was known.

    Returns:
        0 where it is less than two seconds.
    """
    try:
        found_s = parsedate_to_datetime(date).timestamp() + 0.5 - wall_s() if date else before
    except ValueError:
        return before
    return found_s if abs(found_s) > _SAME_CLOCK_S else 0.0


def innermost(error: BaseException) -> str:
    """Return the words of the innermost cause: the outer ones name our own objects."""
    inner = getattr(error, "reason", None) or error
    return str(inner).rpartition(": ")[2] or type(error).__name__
