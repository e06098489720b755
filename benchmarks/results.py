"""What was measured, with all that it depends on: one JSON file a benchmark.

A benchmark has parts (a framework each), which may be measured apart: a part that is measured again
takes the place of the one before, the others stay. Does not belong here: tables and measuring.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

COMMITTED = Path(__file__).resolve().parent / "results"
"""What README and documentation are made from."""

_DIGITS = 4
"""Of seconds."""
Samples = dict[str, list[dict[str, Any]]]
"""Of each kind of run (``bare``, ``warm``, …) one entry a round, with units in its keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was measured."""

    cores: int
    memory_bytes: int
    load_before: float
    """The average of the last minute."""
    load_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a benchmark, as it was measured last."""

    day: str
    """Such as ``2026-11-28``."""
    rounds: int
    conditions: str
    """In words."""
    machine: Machine
    versions: dict[str, str]
    """Of Python and of the distributions that matter."""
    samples: Samples


@dataclass(slots=True)
class Results:
    """All parts of one benchmark, by name."""

    benchmark: str
    parts: dict[str, Part] = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Write them into a folder, which is made where it is missing. Returns the file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.benchmark}.json"
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")
        return file


def load(benchmark: str, folder: Path) -> Results | None:
    """Return what a folder has of a benchmark; None when it has nothing of it."""
    try:
        found = json.loads((folder / f"{benchmark}.json").read_text())
    except FileNotFoundError:
        return None
    parts = {
        name: Part(**{**part, "machine": Machine(**part["machine"])})
        for name, part in found["parts"].items()
    }
    return Results(found["benchmark"], parts)


def measured(
    measure: Callable[[], Samples], rounds: int, conditions: str, distributions: Sequence[str]
) -> Part:
    """Measure a part, and note all that the figures depend on.

    Args:
        measure: does it.
        rounds: how many it makes.
        conditions: what else one has to know, in words.
        distributions: whose versions matter; one that is not installed is left out.

    Returns:
        The part.
    """
    load_before = _load()
    samples = {
        kind: [{key: _rounded(figure) for key, figure in one.items()} for one in some]
        for kind, some in measure().items()
    }
    machine = Machine(
        cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        load_before=load_before,
        load_after=_load(),
    )
    return Part(
        day=time.strftime("%Y-%m-%d"),
        rounds=rounds,
        conditions=conditions,
        machine=machine,
        versions={"Python": platform.python_version(), **_versions(distributions)},
        samples=samples,
    )


def _rounded(figure: Any) -> Any:
    return round(figure, _DIGITS) if isinstance(figure, float) else figure


def _load() -> float:
    return round(os.getloadavg()[0], 2)


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
