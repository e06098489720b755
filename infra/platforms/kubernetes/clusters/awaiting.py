"""Waiting for what the API server does with one object: a question and a watch, no polling."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import Kind, Object
from ebbtide.infra.waiting import now_s, pause

_PAUSE_S = 0.2
"""After a watch that could not be kept."""


def until(
    api: Api,
    kind: Kind,
    name: str,
    done: Callable[[Object | None], bool],
    *,
    timeout_s: float,
) -> bool:
    """Wait until an object is as it should be.

    Args:
        api: of its namespace.
        kind: of the object.
        name: of the object.
        done: whether it is so; gets None when there is none.
        timeout_s: for how long at most, in seconds.

    Returns:
        Whether it is so.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    until_s = now_s() + timeout_s
    while True:
        thing = api.get(kind, name)
        left_s = until_s - now_s()
        if done(thing) or left_s <= 0 or thing is None:
            return done(thing)
        version, one = thing["metadata"]["resourceVersion"], f"metadata.name={name}"
        with contextlib.suppress(ApiError):  # the version is too old, or the server is away
            for what, found in api.watch(kind, version, fields=one, timeout_s=left_s):
                if what != "BOOKMARK" and done(None if what == "DELETED" else found):
                    return True
        pause(_PAUSE_S)
