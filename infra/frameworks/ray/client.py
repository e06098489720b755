"""A connected Ray driver for a process that holds a cluster open."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Any, cast

from ebbtide.infra.frameworks.ray.variables.foreign import foreign


def connect(address: str, environment: dict[str, str]) -> AbstractContextManager[Any]:
    """What ``ray.init`` gives; leaving it disconnects. Ray reads this process's environment."""
    for name in foreign(os.environ):
        del os.environ[name]
    os.environ.update(environment)
    import ray  # it reads part of its settings when it is imported

    return cast(AbstractContextManager[Any], ray.init(address=address))
