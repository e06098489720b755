"""Which Java Spark will use, and why it cannot."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason

OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
"""Variables whose options every JVM takes, whoever starts it."""
GOVERN = ("JAVA_HOME", "PATH", *OPTIONS)
"""Variables that decide which Java is found and whether it starts."""
_OLDEST = 17
_TIMEOUT_S = 20.0
_NO_CAUSE = re.compile(r"Picked up |NOTE: Picked up |Error: (Could not create|A fatal exception)")
_INSTALL = "on Debian and Ubuntu: sudo apt install openjdk-17-jre-headless (or newer)"


@dataclass(frozen=True, slots=True)
class _Answer:
    version: int | None
    complaint: str = ""


def java_version(environ: Mapping[str, str]) -> int | None:
    """The major version of the Java that Spark would use; None when there is none."""
    java = _find(environ)
    return _ask(java, environ).version if java else None


def java_problem(environ: Mapping[str, str]) -> Problem | None:
    """Why Spark could not use the Java of this environment, with the variable that is to blame."""
    home, java = environ.get("JAVA_HOME"), _find(environ)
    if java is None and home:
        summary = f"JAVA_HOME is {home}, and there is no {Path(home) / 'bin' / 'java'}"
        return _missing(summary, f"unset JAVA_HOME, or let it name a Java of {_OLDEST} or newer")
    if java is None:
        return _missing(f"there is no Java; Spark needs {_OLDEST} or newer", _INSTALL)
    answer = _ask(java, environ)
    if answer.version is None:
        return _broken(java, environ, answer.complaint)
    if answer.version < _OLDEST:
        by = f" (JAVA_HOME is {home})" if home else ""
        summary = f"Java is {answer.version}{by}; Spark needs {_OLDEST} or newer"
        return _missing(summary, _INSTALL)
    return None


def _missing(summary: str, hint: str) -> Problem:
    return Problem(Reason.FRAMEWORK_MISSING, summary, hint)


def _broken(java: str, environ: Mapping[str, str], complaint: str) -> Problem:
    plain = {name: value for name, value in environ.items() if name not in OPTIONS}
    names = [name for name in OPTIONS if environ.get(name)]
    if names and _ask(java, plain).version is not None:
        summary = f"no Java starts with what is in {' and '.join(names)}: {complaint}"
        return _missing(summary, f"mend or unset {' and '.join(names)}")
    return _missing(f"{java} does not work: {complaint}", _INSTALL)


def _find(environ: Mapping[str, str]) -> str | None:
    home = environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home) / "bin") if home else environ.get("PATH"))


def _ask(java: str, environ: Mapping[str, str]) -> _Answer:
    try:
        done = subprocess.run(
            [java, "-XX:-UsePerfData", "-version"],  # no hsperfdata_USER in a folder all share
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env=dict(environ),
        )
    except (OSError, subprocess.SubprocessError) as error:
        return _Answer(None, str(error))
    said = done.stderr + done.stdout
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    lines = [line for line in said.splitlines() if line and not _NO_CAUSE.match(line)]
    if found and not done.returncode:
        return _Answer(int(found[1]))
    return _Answer(None, lines[0] if lines else f"exit code {done.returncode}")
