"""What of its Python and framework an interpreter has, and whether that fits another one's.

What two of a cluster send each other is pickled, or in the framework's own protocol: a difference
shows as an error in the middle of a program, if at all. Standard library only, and little of it: it
is part of what starts in pods.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_S = 20.0
_INFO = ".dist-info"
_ASK = """
import sys
from importlib.metadata import PackageNotFoundError, version
try:
    package = version(sys.argv[1])
except PackageNotFoundError:
    package = ""
print(".".join(map(str, sys.version_info[:3])), package)
"""


@dataclass(frozen=True, slots=True)
class Versions:
    """What one interpreter has."""

    python: str
    """Such as 3.11.7."""
    package: str
    """Of the framework's distribution; empty: it is not installed."""

    def fits(self, others: Versions, python_parts: int) -> bool:
        """Whether both can be of one cluster.

        Args:
            others: of the other one.
            python_parts: how much of Python's version must be equal (see ``Framework``).

        Returns:
            True when they can; the framework's version must be equal as a whole.
        """
        mine, theirs = self.python.split("."), others.python.split(".")
        same_python = mine[:python_parts] == theirs[:python_parts]
        return same_python and self.package == others.package

    def named(self, package: str) -> str:
        """Both in words; ``package`` is the distribution's name."""
        has = f"with {package} {self.package}" if self.package else f"without {package}"
        return f"Python {self.python} {has}"


def own_versions(package: str) -> Versions:
    """What this interpreter has; ``package`` is the framework's distribution.

    Read from the name of the folder that pip leaves beside it: ``importlib.metadata``, which does
    so too, takes 20 ms to import, for which everything that starts in a pod would wait.
    """
    folders = (Path(folder).glob(f"{package}-*{_INFO}") for folder in sys.path)
    found = next((each.name for folder in folders for each in sorted(folder)), "")
    number = found.removeprefix(f"{package}-").removesuffix(_INFO)
    return Versions(".".join(map(str, sys.version_info[:3])), number)


def versions_of(
    python: str, package: str, environ: Mapping[str, str] | None = None
) -> Versions | None:
    """What an interpreter has, as a process of it says.

    Args:
        python: its path or name.
        package: the framework's distribution.
        environ: of the process that asks it; None: as this one's.

    Returns:
        The versions; None when it does not answer.
    """
    try:
        done = subprocess.run(
            [python, "-c", _ASK, package],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
            env=environ,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    number, _, found = done.stdout.strip().partition(" ")
    return Versions(number, found)


def is_python(word: str) -> bool:
    """Whether the first word of a command line names a Python."""
    return Path(word).name.startswith("python")
