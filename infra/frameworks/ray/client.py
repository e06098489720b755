"""A connected Ray driver for a process that holds a cluster open."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any, cast


def connect(address: str, environment: dict[str, str]) -> AbstractContextManager[Any]:
    """What ``ray.init`` gives; leaving it disconnects. Ray reads this process's environment."""
    os.environ.update(environment)
    import ray  # it reads part of its settings when it is imported

    return cast(AbstractContextManager[Any], ray.init(address=address))
