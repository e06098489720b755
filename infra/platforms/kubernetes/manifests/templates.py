"""What a framework's own tools make of a cluster's pods, asked once for each version of them.

Their import costs half a second, and what they make depends on two names alone: it is kept with
other words in their place.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.files.private import private_folder, write_whole
from ebbtide.infra.frameworks.base import Framework, PodTemplates
from ebbtide.infra.models.ids import ClusterId

_FOLDER = "templates"
_CLUSTER, _IMAGE = ClusterId("the-name-of-the-cluster"), "the-image-of-its-pods"

Ask = Callable[[Framework, ClusterId, str], PodTemplates]


def ask(framework: Framework, cluster: ClusterId, image: str) -> PodTemplates:
    """Return a framework's templates, drawn now.

    Args:
        framework: whose pods these are.
        cluster: its id.
        image: of its pods.

    Returns:
        The templates.

    Raises:
        ConfigurationError: its tools are not installed.
    """
    return framework.pod_templates(cluster, image)


def kept_in(home: Path) -> Ask:
    """Return what does as ``ask`` and keeps them in an installation. ``home`` is its folder."""

    def kept(framework: Framework, cluster: ClusterId, image: str) -> PodTemplates:
        file = _file(framework, home)
        if file is None:
            return ask(framework, cluster, image)
        try:
            return _named(file.read_text(), cluster, image)
        except (OSError, ValueError, TypeError):  # there are none yet, or broken ones
            drawn = json.dumps(asdict(ask(framework, _CLUSTER, _IMAGE)))
        with contextlib.suppress(OSError):
            write_whole(file, drawn)
        return _named(drawn, cluster, image)

    return kept


def _file(framework: Framework, home: Path) -> Path | None:
    """Of the version that is installed; None where there is nothing to keep, or nowhere."""
    if not framework.templates_from:
        return None
    with contextlib.suppress(PackageNotFoundError, ConfigurationError):
        number = version(framework.templates_from)
        return private_folder(home, _FOLDER) / f"{framework.templates_from}-{number}.json"
    return None


def _named(drawn: str, cluster: ClusterId, image: str) -> PodTemplates:
    for word, name in ((_CLUSTER, cluster), (_IMAGE, image)):
        drawn = drawn.replace(word, json.dumps(name)[1:-1])
    return PodTemplates(**json.loads(drawn))
