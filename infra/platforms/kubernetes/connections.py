"""One connection for each place, shared by all threads of this process."""

from __future__ import annotations

import os
import threading

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access

_apis: dict[tuple[int, Access], Api] = {}
_lock = threading.Lock()


def connected(access: Access) -> Api:
    """Return this process's connection to a place; nothing is asked by it.

    Raises:
        ConfigurationError: PLATFORM_UNUSABLE, there are no credentials.
    """
    key = (os.getpid(), access)  # a child of a fork has sockets of its own
    with _lock:
        if key not in _apis:
            _apis[key] = Api(access)
        return _apis[key]
