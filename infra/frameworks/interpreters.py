"""Whether the Python that a program names can talk to a cluster made with ours."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.versions import is_python, own_versions, versions_of
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason


def mismatch(job: JobSpec | None, package: str, python: str, *, python_parts: int) -> list[Problem]:
    """Find differences that the framework would only complain about when everything is running.

    Args:
        job: whose argv may begin with another Python than ours; None for a session.
        package: the framework's distribution, whose versions must be equal.
        python: the path of the interpreter of this process, with which the cluster is made.
        python_parts: how much of Python's version must be equal (see ``Framework``).

    Returns:
        One problem, or none when the two may work together.
    """
    if job is None or not is_python(job.argv[0]) or _is_same(job.argv[0], python):
        return []
    ours = own_versions(package)
    if not ours.package:
        return []
    theirs = versions_of(job.argv[0], package)
    if theirs is not None and theirs.fits(ours, python_parts):
        return []
    found = f"is {theirs.named(package)}" if theirs is not None else "does not run"
    summary = f"{job.argv[0]} {found}; the cluster has {ours.named(package)}"
    hint = "give ebb the program without an interpreter (ebb run PROGRAM.py), or use the same one"
    return [Problem(Reason.PROGRAM_INVALID, summary, hint)]


def _is_same(word: str, python: str) -> bool:
    return Path(word).absolute() == Path(python).absolute()


def package_folder(package: str) -> Path:
    """Return the folder of a package of this interpreter, without importing it.

    It has been asked for before that it is there.
    """
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else Path()
