"""What runs inside the program's own interpreter, before the program: the driver's hook.

Belongs here: how a framework's ``driver`` module gets into the program (``sitecustomize``, as
``opentelemetry-instrument`` does it), and what it may use there: ``say``, ``note``, ``bridged``.
Standard library only, and little of it: this is imported by the program's interpreter.
Does not belong here: what is done to a framework (``<framework>.driver``), and who reads the notes.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import PurePath

from ebbtide.infra.waiting import wait_until

NOTES = "EBB_NOTES"
"""The file that ``note`` appends to."""
BRIDGE = "EBB_BRIDGED"
"""``1`` when clusters that the program makes for itself are to be led to its run's cluster. Not the
variable of the option: an ``ebb run`` in the program would take that for itself."""
_HOOK = "EBB_HOOK"
"""The framework whose package is waited for; see ``sitecustomize``."""

_SETTLES_S = 1.0

_said: set[str] = set()


def say(text: str) -> None:
    """Tell the user something on the program's stderr, once: a line ``ebb: text``."""
    if text in _said:
        return
    _said.add(text)
    try:
        print(f"ebb: {text}", file=sys.stderr, flush=True)
    except (OSError, ValueError, AttributeError):  # a stream that is closed, or none at all
        return


def note(kind: str, **data: object) -> None:
    """Tell the supervisor something: a line of JSON that the run, ``why`` and receipt use.

    Args:
        kind: such as ``own-cluster``.
        data: more of it; JSON can hold it.
    """
    line = json.dumps({"kind": kind, **data}) + "\n"
    try:
        file = os.open(os.environ[NOTES], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    except (KeyError, OSError):  # not started by a supervisor, or its folder has gone
        return
    try:
        os.write(file, line.encode())
    except OSError:
        return
    finally:
        os.close(file)


def bridged() -> bool:
    """Whether ``--bridge`` was given."""
    return os.environ.get(BRIDGE) == "1"


def note_at_exit(unfinished: Callable[[], int], wait: str) -> None:
    """Note, when this program ends by itself, how many of its tasks have not ended.

    Args:
        unfinished: counts them. It is called before what the framework does at exit, when this is
            called after the framework was imported.
        wait: how a program waits for them, in code; RUN stands for the run's name.
    """
    atexit.register(_note_unfinished, unfinished, wait, os.getpid())


def _note_unfinished(unfinished: Callable[[], int], wait: str, pid: int) -> None:
    if os.getpid() != pid:
        return
    try:
        count = _settled(unfinished)
    except Exception as error:
        note("hook-failed", what=repr(error))
        return
    if count > 0:
        note("unfinished", count=count, wait=wait)


def _settled(unfinished: Callable[[], int]) -> int:
    """What is left when the last answers have had a moment to arrive.

    ``ray.get`` returns when the result is there, which is before the task counts as ended.
    """
    count = 0

    def ended() -> bool:
        nonlocal count
        count = unfinished()
        return count <= 0

    wait_until(ended, timeout_s=_SETTLES_S)
    return count


def hook_environment(
    environ: Mapping[str, str], framework: str, folder: PurePath, notes: PurePath, *, bridge: bool
) -> dict[str, str]:
    """The variables that bring the hook into a program, and nothing else into its sight.

    Args:
        environ: of the program, without the hook.
        framework: of its cluster.
        folder: of this package, where the program runs.
        notes: the file for ``note``, where the program runs.
        bridge: whether ``--bridge`` was given.

    Returns:
        What to add to ``environ``.
    """
    users = environ.get("PYTHONPATH")
    return {
        "PYTHONPATH": os.pathsep.join([str(folder), *([users] if users else [])]),
        _HOOK: framework,
        NOTES: str(notes),
        BRIDGE: "1" if bridge else "0",
    }
