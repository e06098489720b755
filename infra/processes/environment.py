"""What processes of ours find in their environment, and what the user's own must find there.

A process of a cluster carries whose it is (see ``infra.platforms.local.marks``); what belongs to
the user is noted while it passes through processes of ours, which must not obey it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path

from ebbtide.infra.files.private import UMASK

CLUSTER, HOME, RUN, ROLE, PROCESS = "EBB_CLUSTER", "EBB_HOME", "EBB_RUN", "EBB_ROLE", "EBB_PROCESS"
"""A program inherits them, so none may be the variable of an option of a nested ``ebb run``."""

_USERS = "EBB_USER_"
"""Before the name of a variable of the user's while it passes through processes of ours, which must
not obey it, or have one of their own."""
USER_PYTHONPATH = f"{_USERS}PYTHONPATH"
USER_UMASK = "EBB_USER_UMASK"
"""The umask of whoever started us, in octal: ours is another one, the program's is this."""
USER_TMPDIR = f"{_USERS}TMPDIR"
"""The user's TMPDIR (empty for none) where processes of ours have one of their own."""
USER_WORKDIR = f"{_USERS}WORKDIR"
"""The user's EBB_WORKDIR (empty for none) where `ebb up` has set one for the flows it runs."""

_NO_PROXY = ("no_proxy", "NO_PROXY")
_THIS_MACHINE = "127.0.0.1,localhost,::1"
_REPLACED = {
    "TMPDIR": USER_TMPDIR,
    "EBB_WORKDIR": USER_WORKDIR,
    **{name: f"{_USERS}{name}" for name in _NO_PROXY},
}
"""What processes of ours have instead of the user's, and where the user's is noted."""
_GOVERN_PYTHON = (
    *("PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONTRACEMALLOC"),
    *("PYTHONVERBOSE", "PYTHONPROFILEIMPORTTIME", "PYTHONASYNCIODEBUG", "PYTHONDEBUG"),
)
"""They change how any Python behaves: a head would end at its first warning. The program has them
from its start, tasks once their worker runs (``give_back_to_tasks``)."""
_ONLY_FOR_THE_PROGRAM = "PYTHONINSPECT"
"""Python also obeys it when it is set later: our worker would not exit."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def our_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """For processes of ours: what of the user's governs a Python is noted, and so is the umask."""
    environment = dict(environ)
    _hold_back(environment, ("PYTHONPATH", *_GOVERN_PYTHON))
    environment[USER_UMASK] = f"{user_umask(environ):03o}"
    return environment


def user_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What the user had in the shell."""
    environment = dict(environ)
    environment.pop(USER_UMASK, None)
    for name, note in _REPLACED.items():
        users = environment.pop(note, None)
        if users is not None:
            environment.pop(name, None)
        if users:
            environment[name] = users
    _give_back(environment)
    return environment


def program_environment(environ: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """For the user's program, without what makes it find its cluster.

    ``wanted`` is what ``--env`` adds; both win over our one default, that what a program prints is
    seen when it is printed.
    """
    return {"PYTHONUNBUFFERED": "1", **user_environment(environ), **wanted}


def member_environment(environ: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """For head and workers: the user's with ``--env`` on top, because tasks read it.

    They get their PYTHONPATH otherwise (see ``ClusterPlan``), and must not obey what governs a
    Python: tasks have that from ``give_back_to_tasks``.
    """
    environment = {**user_environment(environ), **wanted}
    environment.pop("PYTHONPATH", None)
    _hold_back(environment, _GOVERN_PYTHON)
    return environment


def instead_of_the_users(environ: Mapping[str, str], ours: Mapping[str, str]) -> dict[str, str]:
    """An environment with variables of ours, and the user's noted for ``give_back_to_tasks``.

    Args:
        environ: of a member, with the user's variables.
        ours: what it has in their place.

    Returns:
        A new environment.
    """
    environment = dict(environ)
    _hold_back(environment, ours)
    return {**environment, **ours}


def give_back_to_tasks(environ: MutableMapping[str, str]) -> None:
    """For a worker that has come up: what governs a Python is for the tasks and their processes.

    Args:
        environ: of this process.
    """
    environ.pop(f"{_USERS}{_ONLY_FOR_THE_PROGRAM}", None)
    _give_back(environ)


def held_back(environ: Mapping[str, str]) -> bool:
    """Whether ``give_back_to_tasks`` would change anything."""
    return any(name.startswith(_USERS) and name != USER_UMASK for name in environ)


def _hold_back(environ: MutableMapping[str, str], names: Iterable[str]) -> None:
    for name in names:
        value = environ.pop(name, None)
        if value is not None:
            environ[f"{_USERS}{name}"] = value


def _give_back(environ: MutableMapping[str, str]) -> None:
    """Everything that was held back; what is in its place now is ours."""
    for note in [name for name in environ if name.startswith(_USERS) and name != USER_UMASK]:
        environ[note.removeprefix(_USERS)] = environ.pop(note)


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

    They read the user's proxy variables; the user's own program gets those as they were. A client
    that cannot speak SOCKS cannot even be made while a variable names such a proxy.

    Args:
        environ: of this process, before a client is made.
    """
    users = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    for name in _NO_PROXY:
        environ.setdefault(_REPLACED[name], environ.get(name, ""))
        environ[name] = f"{users},{_THIS_MACHINE}" if users else _THIS_MACHINE
    if importlib.util.find_spec("socksio") is None:
        proxies = [name for name in environ if name.lower() in _PROXIES]
        _hold_back(environ, [name for name in proxies if environ[name].startswith("socks")])
