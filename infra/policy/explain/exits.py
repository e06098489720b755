"""How a process ended, as a sentence: exit codes and signals. Pure."""

from __future__ import annotations

import signal

_SHELL_OFFSET = 128
"""A shell tells of a child that a signal ended by this number plus the signal's."""
_MEANS = {
    signal.SIGKILL: "often the machine had no memory left",
    signal.SIGSEGV: "a fault in native code, such as an extension module",
    signal.SIGABRT: "native code gave up, such as a failed assertion",
    signal.SIGBUS: "often a file or shared memory that it had mapped was full or cut short",
    signal.SIGILL: "a library was built for another processor",
}


def exit_sentence(code: int | None) -> str:
    """What a program did when it ended, as the end of a sentence.

    Args:
        code: its exit code; negative for the signal that ended it; None when that is not known.

    Returns:
        Such as "exited with 3" or "was killed by SIGSEGV (139): a fault in native code, …".
    """
    if code is None:
        return "ended, its exit code is not known"
    if code < 0:
        name, why = _signal(-code)
        return f"was killed by {name} ({_SHELL_OFFSET - code}){why}"
    name, why = _signal(code - _SHELL_OFFSET)
    if name and why:  # other codes above 128 are a program's own as often as not
        return f"exited with {code}: one of its processes was killed by {name}{why}"
    return f"exited with {code}"


def closed_stdin_hint(last_lines: str) -> str:
    """What to do when the last a program wrote to stderr is that its stdin had ended; else empty.

    For a program that was started with a closed standard input.
    """
    lines = last_lines.strip().splitlines()
    if not lines or not lines[-1].startswith("EOFError"):
        return ""
    return "it read stdin, which only `ebb run` without --detach passes on; read a file instead"


def _signal(number: int) -> tuple[str, str]:
    """Return the name of a signal, and what it often means; its number when it has no name."""
    try:
        found = signal.Signals(number)
    except ValueError:
        return (f"signal {number}" if number > 0 else ""), ""
    return found.name, f": {_MEANS[found]}" if found in _MEANS else ""
