"""Starting one process of a cluster: a session of its own, a mark, and a log file."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.private import UMASK, private_opener
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.local import marks

USER_PYTHONPATH = "EBB_USER_PYTHONPATH"
"""The user's PYTHONPATH while it passes through processes of ours, which must not obey it."""
USER_UMASK = "EBB_USER_UMASK"
"""The umask of whoever started us, in octal: ours is another one, the program's is this."""
USER_TMPDIR = "EBB_USER_TMPDIR"
"""The user's TMPDIR (empty for none) where processes of ours have one of their own."""
USER_WORKDIR = "EBB_USER_WORKDIR"
"""The user's EBB_WORKDIR (empty for none) where `ebb up` has set one for the flows it runs."""

_NO_PROXY = ("no_proxy", "NO_PROXY")
_THIS_MACHINE = "127.0.0.1,localhost,::1"
_REPLACED = {
    "TMPDIR": USER_TMPDIR,
    "EBB_WORKDIR": USER_WORKDIR,
    **{name: f"EBB_USER_{name}" for name in _NO_PROXY},
}
"""What processes of ours have instead of the user's, and where the user's is noted."""


_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessContext:
    """Whose process it is and where it writes."""

    home: Path
    run: RunName
    cluster: ClusterId
    logs: Path


def our_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For processes of ours: the user's without the user's PYTHONPATH; the umask is noted."""
    environment = dict(environ)
    path = environment.pop("PYTHONPATH", None)
    if path is not None:
        environment[USER_PYTHONPATH] = path
    environment[USER_UMASK] = f"{user_umask(environ):03o}"
    return environment


def reach_this_machine_directly(environ: MutableMapping[str, str]) -> None:
    """Let the HTTP clients of this process talk to servers of this machine without a proxy.

    They read the user's proxy variables; the user's own program gets those as they were.

    Args:
        environ: of this process, before a client is made.
    """
    users = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    for name in _NO_PROXY:
        environ.setdefault(_REPLACED[name], environ.get(name, ""))
        environ[name] = f"{users},{_THIS_MACHINE}" if users else _THIS_MACHINE


def user_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For the user's program: what the user had in the shell."""
    environment = member_environment(environ)
    path = environment.pop(USER_PYTHONPATH, None)
    if path is not None:
        environment["PYTHONPATH"] = path
    return environment


def member_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For head and workers, which get their PYTHONPATH otherwise: see ``ClusterPlan``."""
    environment = dict(environ)
    environment.pop(USER_UMASK, None)
    for name, note in _REPLACED.items():
        users = environment.pop(note, None)
        if users is not None:
            environment.pop(name, None)
        if users:
            environment[name] = users
    return environment


def user_umask(environ: Mapping[str, str] = os.environ) -> int:
    """The umask of whoever started us: as noted, or that of this process when it is the user's."""
    noted = environ.get(USER_UMASK, "")
    if noted.isdigit() and set(noted) <= set("01234567"):
        return int(noted, 8) & 0o777
    # os.umask() can only be asked by changing it, and other threads would see that.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next((int(line.split()[1], 8) for line in lines if line.startswith("Umask:")), UMASK)


def end_with_parent(number: signal.Signals) -> Callable[[], None]:
    """For ``preexec_fn``: the kernel sends the child this signal when its parent is gone.

    Only where the parent has no other threads; the signal comes when the thread that forked ends.
    """
    libc = ctypes.CDLL(None)  # now: between fork and exec nothing is to be loaded

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)

    return ask_the_kernel


def become_private() -> None:
    """For a process that is ours from its start: what it makes is for this user only."""
    os.environ[USER_UMASK] = f"{user_umask():03o}"
    os.umask(UMASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """A process of ours: ``python -m MODULE WORDS`` in a session and with a log of its own."""

    module: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    """From ``our_environment``."""
    log: Path
    cwd: Path = Path("/")

    def start(self, *, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start it; what it and its children make is for this user only."""
        with open(self.log, "ab", opener=private_opener) as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", self.module, *self.words],
                env=self.environment,
                cwd=self.cwd,
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=UMASK,
            )


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
    place: ProcessContext, argv: tuple[str, ...], environment: Mapping[str, str], cwd: Path
) -> subprocess.Popen[bytes]:
    """Start the user's program; its two outputs go to files of their own and outlive everyone.

    Args:
        place: the cluster it belongs to, and where its outputs are.
        argv: the command line.
        environment: all its variables but the mark.
        cwd: the folder it runs in.

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
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            umask=user_umask(),
        )


def end_all_of(place: ProcessContext, name: str) -> None:
    """Kill a member and whatever it started: a Ray node is ten processes, a Spark worker three."""
    mine = [p.pid for p in marks.marked(place.home, place.cluster) if p.name == name]
    for pid in {*mine, *marks.descendants(mine)}:
        marks.signal_quietly(pid, signal.SIGKILL)
