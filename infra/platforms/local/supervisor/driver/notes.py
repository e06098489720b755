"""What the hook in a program has noted, read from its file: plain values, whatever is in there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ebbtide.infra.policy.cluster_use import Notes, notes_from

_MAX_BYTES = 2**16


def read_notes(file: Path) -> Notes:
    """All that was noted so far; of each kind the last. The program could write there as well."""
    found: dict[str, dict[str, Any]] = {}
    for line in _lines(file):
        found[str(line.get("kind"))] = line
    return notes_from(found)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES)
    except OSError:
        return
    for line in data.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value
