"""When the reaper last made its round: it writes, ``ebb status`` reads."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ebbtide.infra.files.private import write_whole
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

EVERY_S = 15.0
"""Under ``ebb up``."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of the reaper."""

    at: float
    """Unix time, seconds."""
    error: str = ""
    """Why it could not be finished."""


def note(settings: Settings, error: str = "") -> None:
    """Write down that a round has ended. On a full disk nothing is written."""
    with contextlib.suppress(OSError):
        write_whole(_file(settings), json.dumps(asdict(Round(wall_s(), error))))


def last(settings: Settings) -> Round | None:
    """Return the last round; None when there was none."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Round(**json.loads(_file(settings).read_text()))
    return None


def _file(settings: Settings) -> Path:
    return settings.home / "reaper.json"
