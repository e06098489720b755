"""Starting one process of a cluster: a session of its own, a mark, and a log file."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.private import UMASK, private_opener
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.processes.environment import user_umask
from ebbtide.infra.processes.identity import signal_quietly


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessContext:
    """Whose process it is and where it writes."""

    home: Path
    run: RunName
    cluster: ClusterId
    logs: Path


def start(
    place: ProcessContext,
    role: str,
    name: str,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    cwd: Path,
) -> subprocess.Popen[bytes]:
    """Start a process that no terminal can interrupt, writing to ``<logs>/<name>.log``.

    Args:
        place: the cluster it belongs to, and where its logs are.
        role: ``head``, ``worker``, …; part of its mark.
        name: such as ``worker-0``; part of its mark, and of its log's name.
        argv: the command line.
        environment: all its variables but the mark.
        cwd: the folder it starts in.

    Returns:
        The process.

    Raises:
        OSError: the command cannot be started at all.
    """
    marked = {**environment, **marks.mark(place.home, place.run, place.cluster, role, name)}
    with open(place.logs / f"{name}.log", "ab", opener=private_opener) as log:
        return subprocess.Popen(
            argv,
            env=marked,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=user_umask() if role == "worker" else UMASK,  # users' code makes files there
        )


def start_program(
    place: ProcessContext,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    cwd: Path,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start the user's program; its two outputs go to files of their own and outlive everyone.

    Args:
        place: the cluster it belongs to, and where its outputs are.
        argv: the command line.
        environment: all its variables but the mark.
        cwd: the folder it runs in.
        stdin: an open file that it reads; by default there is nothing to read.

    Returns:
        The process: the driver.

    Raises:
        OSError: the command cannot be started at all.
    """
    marked = {**environment, **marks.mark(place.home, place.run, place.cluster, "driver", "job")}
    with (
        open(place.logs / "stdout.log", "ab", opener=private_opener) as out,
        open(place.logs / "stderr.log", "ab", opener=private_opener) as err,
    ):
        return subprocess.Popen(
            argv,
            env=marked,
            cwd=cwd,
            stdin=stdin,
            stdout=out,
            stderr=err,
            start_new_session=True,
            umask=user_umask(),
        )


def end_all_of(place: ProcessContext, name: str) -> None:
    """Kill a member and whatever it started: a Ray node is ten processes, a Spark worker three."""
    mine = [p.pid for p in marks.marked(place.home, place.cluster) if p.name == name]
    for pid in {*mine, *marks.descendants(mine)}:
        signal_quietly(pid, signal.SIGKILL)
