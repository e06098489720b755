"""Times and amounts as the API server writes them.

Amounts may be zero, and of any suffix. What a user may ask for is ``models.resources``.
"""

from __future__ import annotations

import re
from datetime import datetime

_AMOUNT = re.compile(r"(-?[0-9.]+(?:e[0-9]+)?)([A-Za-z]*)")
_SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SUFFIXES |= {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "P": 1e15, "Pi": 2.0**50}


def unix_time(text: str) -> float:
    """Return the Unix time in seconds of a timestamp, such as ``2026-11-26T12:00:00Z``.

    Raises:
        ValueError: it is none.
    """
    return datetime.fromisoformat(text).timestamp()


def quantity(text: str) -> float:
    """Return an amount in its unit itself (cores, bytes); 0 for what is none.

    Such as ``123456n``, ``250m``, ``1.5`` or ``12Ki``.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None or match[2] not in _SUFFIXES:
        return 0.0
    return float(match[1]) * _SUFFIXES[match[2]]
