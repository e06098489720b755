"""Starting one process of a cluster: a session of its own, a mark, and a log file."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infra.platforms.local import marks

USER_PYTHONPATH = "EBB_USER_PYTHONPATH"
"""The user's PYTHONPATH while it passes through processes of ours, which must not obey it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose process it is and where it writes."""

    home: Path
    run: str
    cluster: str
    logs: Path


def our_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For processes of ours: the user's environment without the user's PYTHONPATH."""
    environment = dict(environ)
    path = environment.pop("PYTHONPATH", None)
    if path is not None:
        environment[USER_PYTHONPATH] = path
    return environment


def user_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For the user's program: what the user had in the shell."""
    environment = {key: value for key, value in environ.items() if key != USER_PYTHONPATH}
    if USER_PYTHONPATH in environ:
        environment["PYTHONPATH"] = environ[USER_PYTHONPATH]
    return environment


def start(
    place: Place,
    role: str,
    name: str,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    cwd: Path,
) -> subprocess.Popen[bytes]:
    """Start a process that no terminal can interrupt, writing to ``<logs>/<name>.log``.

    Raises:
        OSError: when the command cannot be started at all.
    """
    marked = {**environment, **marks.mark(place.home, place.run, place.cluster, role, name)}
    with (place.logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            argv,
            env=marked,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def start_program(
    place: Place, argv: tuple[str, ...], environment: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes]:
    """Start the user's program; its two outputs go to files of their own and outlive everyone."""
    marked = {**environment, **marks.mark(place.home, place.run, place.cluster, "driver", "job")}
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with (
        open(os.open(place.logs / "stdout.log", flags, 0o600), "wb") as out,
        open(os.open(place.logs / "stderr.log", flags, 0o600), "wb") as err,
    ):
        return subprocess.Popen(
            argv,
            env=marked,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )


def end_all_of(place: Place, name: str) -> None:
    """Kill a member and whatever it started: a Ray node is ten processes, a Spark worker three."""
    mine = [p.pid for p in marks.marked(place.home, place.cluster) if p.name == name]
    for pid in {*mine, *marks.descendants(mine)}:
        marks.signal_quietly(pid, signal.SIGKILL)
