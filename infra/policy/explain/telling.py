"""The line of a log that tells why its process has ended.

Pure: a text in, a line out. Does not belong here: reading the log, what to do about it (``known``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ebbtide.infra.policy.explain.exits import exit_sentence

_LONGEST = 300

_TRACEBACK = re.compile(r"^Traceback \(most recent call last\)")
_PYTHON_ERROR = re.compile(r"^[A-Za-z_]")
"""The first line of a traceback that is not indented."""
_DETAILS = re.compile(r"details = ")
"""What gRPC says under "RPC that terminated with:"."""
_CHAINED = re.compile(r"^(During handling of|The above exception was)")
_JAVA = re.compile(r'^(?:Exception in thread "[^"]*" |Caused by: )(.+)')
_DECISIVE = re.compile(
    r"error while loading shared libraries|cannot open shared object file"
    r"|Address already in use|No space left on device|Cannot allocate memory"
    r"|Could not (?:create|reserve|find or load)|Fatal Python error|Segmentation fault"
    r"|^Killed\b|node timed out|There is insufficient memory|can't open file"
)
_LEVEL = re.compile(r"\b(?:ERROR|CRITICAL|FATAL)\b")
_NOISE = re.compile(
    r"^[\s─━╭╰│|^~]*$|^\s*(?:File \"|at [\w.$]+\(|\.\.\. \d+ more)"
    r"|^(?:Traceback|During handling|The above exception)"
)
_CHANGES = re.compile(r"0x[0-9a-fA-F]+|\d+")
"""What differs between two ends for the same reason: process ids, ports, times."""


def telling_line(text: str) -> str:
    """Return the line of a log that tells why its process ended; empty when it says nothing.

    Of a traceback it is the error, with the one that it came from; of a Java trace its cause. Of
    several such lines the last decides, as the process went on after the others.

    Args:
        text: the end of the log.

    Returns:
        One line of at most 300 characters.
    """
    found = error_line(text)
    if found:
        return found
    lines = text.splitlines()
    telling = [line.strip() for line in lines if not _NOISE.match(line)]
    errors = [line for line in telling if _LEVEL.search(line)]
    return (errors or telling or [""])[-1][:_LONGEST]


def error_line(text: str) -> str:
    """Return the last line that is an error's beyond doubt; empty where there is none."""
    lines = text.splitlines()
    found = max((*_tracebacks(lines), *_of_java(lines), *_decisive(lines)), default=(0, ""))
    return found[1][:_LONGEST]


def death(exit_code: int | None, said: str) -> str:
    """How a process ended and what its log tells, as a sentence without its subject.

    Args:
        exit_code: its exit code; negative for the signal that ended it; None: not known.
        said: the telling line of its log.

    Returns:
        Such as "exited with 1; its log says: OSError: no route to host".
    """
    how = exit_sentence(exit_code)
    return f"{how}; its log says: {said}" if said else f"{how}, and its log says nothing"


def same_way(first: str, second: str) -> bool:
    """Whether two ends were told in the same words, numbers apart. Nothing said is no likeness."""
    return bool(first) and _CHANGES.sub("", first) == _CHANGES.sub("", second)


def _tracebacks(lines: Sequence[str]) -> Iterable[tuple[int, str]]:
    """The error of each chain of tracebacks, by the number of its line."""
    first, chained = "", False
    for start in [number for number, line in enumerate(lines) if _TRACEBACK.match(line)]:
        number = next(
            (n for n in range(start + 1, len(lines)) if _PYTHON_ERROR.match(lines[n])), None
        )
        if number is None:
            continue
        error = _whole(lines, number)
        first = first if chained else error
        yield number, error if error == first else f"{error} (after {first})"
        chained = any(_CHAINED.match(line) for line in lines[number + 1 : number + 4])


def _whole(lines: Sequence[str], number: int) -> str:
    """An error of several lines whose first only announces the others: with the one that tells."""
    error = lines[number].strip()
    more = [line.strip() for line in lines[number + 1 : number + 5] if line.strip()]
    if not error.endswith(":") or not more:
        return error
    return f"{error} {next((line for line in more if _DETAILS.match(line)), more[0])}"


def _of_java(lines: Sequence[str]) -> Iterable[tuple[int, str]]:
    return ((n, found[1]) for n, line in enumerate(lines) if (found := _JAVA.match(line)))


def _decisive(lines: Sequence[str]) -> Iterable[tuple[int, str]]:
    return ((n, line.strip()) for n, line in enumerate(lines) if _DECISIVE.search(line))
