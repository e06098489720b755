"""What a message says beside "this is wrong": the nearest known word, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    by_lower = {name.lower(): name for name in known}
    lower = word.lower()
    close = difflib.get_close_matches(lower, by_lower, n=1)
    if not close and lower:
        close = [name for name in by_lower if name.startswith(lower)]
    return by_lower[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "", otherwise: str = "") -> str:
    """A hint that names the nearest word, or ``otherwise``."""
    near = nearest(word, known)
    return f"did you mean {prefix}{near}?" if near else otherwise


def problem_from(reason: Reason, where: str, error: ValueError) -> Problem:
    """A parser's ``what is wrong; what to write`` as a problem with a hint."""
    wrong, _, hint = str(error).partition("; ")
    return Problem(reason, f"{where}: {wrong}", hint)
