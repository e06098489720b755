"""What belongs to one platform, imported by name when it is asked for: it may not be installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason


def load(path: str, platform: str) -> Callable[..., Any]:
    """Import something of a platform.

    Args:
        path: module and name, with a colon between.
        platform: whose it is.

    Returns:
        What is there.

    Raises:
        ConfigurationError: PLATFORM_UNUSABLE, a package that the platform needs is not installed.
    """
    module, attribute = path.split(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ebbtide"):
            raise
        summary = f"platform {platform} needs {error.name}, which is not installed"
        hint = f'pip install "ebbtide[{platform}]"'
        raise ConfigurationError([Problem(Reason.PLATFORM_UNUSABLE, summary, hint)]) from error
    return found
