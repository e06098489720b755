"""What processes of ours find in their environment, and what the user's own must find there.

A process of a cluster carries whose it is (see ``infra.platforms.local.marks``); what belongs to
the user is noted while it passes through processes of ours, which must not obey it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from ebbtide.infra.files.private import UMASK

CLUSTER, HOME, RUN, ROLE, PROCESS = "EBB_CLUSTER", "EBB_HOME", "EBB_RUN", "EBB_ROLE", "EBB_PROCESS"
"""A program inherits them, so none may be the variable of an option of a nested ``ebb run``."""

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


def our_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For processes of ours: the user's without the user's PYTHONPATH; the umask is noted."""
    environment = dict(environ)
    path = environment.pop("PYTHONPATH", None)
    if path is not None:
        environment[USER_PYTHONPATH] = path
    environment[USER_UMASK] = f"{user_umask(environ):03o}"
    return environment


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


def become_private() -> None:
    """For a process that is ours from its start: what it makes is for this user only."""
    os.environ[USER_UMASK] = f"{user_umask():03o}"
    os.umask(UMASK)


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
