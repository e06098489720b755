"""Settings of Ray in the environment that Ray cannot read: it ends at once, without a word."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.ray.variables.foreign import foreign
from ebbtide.infra.models.phases import Reason

_SETTING = re.compile(r"RAY_[a-z]\w*")
_READ_THEM = "import ray._raylet"


def unreadable(environ: Mapping[str, str], python: str) -> list[Problem]:
    """Find the settings that no process of Ray would start with.

    Only Ray knows how it reads each of them, so it is tried, and only when there are any: that
    takes a second.

    Args:
        environ: the user's.
        python: the path of the interpreter that the cluster runs with.

    Returns:
        One problem for each.
    """
    passing = set(environ) - foreign(environ)
    settings = {name: environ[name] for name in sorted(passing) if _SETTING.fullmatch(name)}
    others = {name: value for name, value in environ.items() if not name.startswith("RAY_")}
    if not settings or _starts({**others, **settings}, python) or not _starts(others, python):
        return []
    return [
        Problem(
            Reason.OPTION_INVALID,
            f"Ray cannot read {name}={value}: it would not start",
            f"correct or unset {name}",
        )
        for name, value in settings.items()
        if not _starts({**others, name: value}, python)
    ]


def _starts(environ: Mapping[str, str], python: str) -> bool:
    command = [python, "-P", "-c", _READ_THEM]
    return subprocess.run(command, env=environ, check=False, capture_output=True).returncode == 0
