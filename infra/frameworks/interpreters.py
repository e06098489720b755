"""Whether the Python that a program names can talk to a cluster made with ours."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason

_TIMEOUT_S = 20.0
_ASK = """
import sys
from importlib.metadata import version
print(".".join(map(str, sys.version_info[:3])), version(sys.argv[1]))
"""


def mismatch(job: JobSpec | None, package: str, python: str, *, python_parts: int) -> list[Problem]:
    """Find differences that the framework would only complain about when everything is running.

    Args:
        job: whose argv may begin with another Python than ours; None for a session.
        package: the framework's distribution, whose versions must be equal.
        python: the path of the interpreter of this process, with which the cluster is made.
        python_parts: how much of Python's version must be equal: 2 is 3.11, 3 is 3.11.7.

    Returns:
        One problem, or none when the two may work together.
    """
    if job is None or not _other_python(job.argv[0], python):
        return []
    try:
        ours = f"{'.'.join(map(str, sys.version_info[:3]))} {version(package)}"
    except PackageNotFoundError:
        return []
    theirs = _versions(job.argv[0], package)
    if theirs is not None and _key(theirs, python_parts) == _key(ours, python_parts):
        return []
    found = (
        "has no " + package
        if theirs is None
        else f"is {theirs.split()[0]} with {package} {theirs.split()[1]}"
    )
    our_python, _, framework = ours.partition(" ")
    has = f"Python {our_python} with {package} {framework}"
    summary = f"{job.argv[0]} {found}; the cluster has {has}"
    hint = "give ebb the program without an interpreter (ebb run PROGRAM.py), or use the same one"
    return [Problem(Reason.PROGRAM_INVALID, summary, hint)]


def _other_python(word: str, python: str) -> bool:
    name = Path(word).name
    return name.startswith("python") and Path(word).absolute() != Path(python).absolute()


def _versions(python: str, package: str) -> str | None:
    try:
        done = subprocess.run(
            [python, "-c", _ASK, package],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _key(versions: str, python_parts: int) -> tuple[str, ...]:
    python, _, package = versions.partition(" ")
    return (*python.split(".")[:python_parts], package)


def package_folder(package: str) -> Path:
    """Return the folder of a package of this interpreter, without importing it.

    It has been asked for before that it is there.
    """
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else Path()
