"""Whether what the README says of a start still holds: its ratios beside a fresh run, in rounds.

A start may be better than the README says, and worse by ``TOLERANCE``: so much differs from day to
day on one quiet machine. Does not belong here: writing results.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from benchmarks import start_up
from benchmarks.results import Results
from benchmarks.tables import REGION, ROOT, TITLES, ratios

TOLERANCE = 0.25
ROUNDS = 2
_NAME = "start_up ratios"
_RATIO = re.compile(r"(?P<title>[A-Z]\w+) (?P<ratio>\d+\.\d+)")
_LOAD_PER_CORE = 0.5


def promised(text: str) -> dict[str, float]:
    """Return the ratios of a page, by framework, as people read them there."""
    names = {title: name for name, title in TITLES.items()}
    told = "".join(found["text"] for found in REGION.finditer(text) if found["name"] == _NAME)
    return {names[one["title"]]: float(one["ratio"]) for one in _RATIO.finditer(told)}


def broken(told: Mapping[str, float], fresh: Mapping[str, float]) -> list[str]:
    """Return one sentence for each framework whose start takes longer than is told."""
    return [
        f"{TITLES[name]}: {ratio:.2f} times as long, and the README says {told[name]:.2f}"
        for name, ratio in fresh.items()
        if ratio > told[name] * (1 + TOLERANCE)
    ]


def compare(rounds: int, frameworks: list[str] | None) -> int:
    """Measure a few rounds of each framework that is here, and say what does not hold.

    Args:
        rounds: of each; its own way and ours in turn.
        frameworks: which; None: all that the README tells of.

    Returns:
        An exit code: 1 when something does not hold.
    """
    told = promised((ROOT / "README.md").read_text(encoding="utf-8"))
    busy = os.getloadavg()[0] > _LOAD_PER_CORE * (os.cpu_count() or 1)
    if busy:
        print(f"load {os.getloadavg()[0]:.1f}: a busy machine makes ratios larger")
    results = Results("start_up")
    for name in frameworks or told:
        missing = _missing(name)
        if name not in told or missing:
            print(f"{TITLES[name]}: not compared: {missing or 'the README says nothing of it'}")
            continue
        results.parts[name] = start_up.part(name, rounds, cold=False)
        fresh = ratios(results)[name]
        print(f"{TITLES[name]}: {fresh:.2f}, README {told[name]:.2f}, {rounds} rounds", flush=True)
    wrong = broken(told, ratios(results))
    for sentence in wrong:
        print(f"✗ {sentence} (allowed: {TOLERANCE:.0%} more)")
    return 1 if wrong else 0


def _missing(framework: str) -> str:
    package = start_up.distributions(framework)[1]
    try:
        version(package)
    except PackageNotFoundError:
        return f"{package} is not installed"
    if framework == "spark" and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        return "there is no Java"
    return ""
