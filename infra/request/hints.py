"""What a message says beside "this is wrong": the nearest known word, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was probably meant; None when none is near."""
    by_lower = {name.lower(): name for name in known}
    lower = word.lower()
    close = difflib.get_close_matches(lower, by_lower, n=1)
    if not close and lower:
        close = [name for name in by_lower if name.startswith(lower)]
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "", otherwise: str = "") -> str:
    """Return a hint that names the nearest known word.

    Args:
        word: what the user wrote.
        known: the words that would be right.
        prefix: set before the word in the hint, such as ``--``.
        otherwise: the hint when no word is near.

    Returns:
        A hint for a ``Problem``.
    """
    near = nearest(word, known)
    return f"did you mean {prefix}{near}?" if near else otherwise


def problem_from(reason: Reason, where: str, error: ValueError) -> Problem:
    """Make a problem of a parser's ValueError ``what is wrong; what to write``.

    Args:
        reason: of the problem.
        where: what the text was for, such as ``option --workers``.
        error: raised by the parser.

    Returns:
        The problem; what follows the semicolon is its hint.
    """
    wrong, _, hint = str(error).partition("; ")
    return Problem(reason, f"{where}: {wrong}", hint)
