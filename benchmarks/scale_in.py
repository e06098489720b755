"""What a shrink costs: Ebb's beside each framework's plain way, in one run.

``python -m benchmarks.scale_in`` runs the same work on three workers of each framework (tasks that
count their starts, stored data, for Spark a shuffle) and takes two of them away in the middle:

* ebb: its autoscaler does, by the drain (the program of ``tests/contract``),
* plain: ``LocalCluster.scale`` (Dask), removing a node (Ray), SIGTERM to executors (Spark).

Starts above the tasks needed are work done twice. Nothing is left running.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.results import Part, Samples, measured
from tests.clusters import carried_out, run_spec
from tests.contract.conftest import SMALLEST, small
from tests.load import starts

ROOT = Path(__file__).resolve().parents[1]
TASKS, TIMEOUT_S = 30, 600
PARTS = ("dask", "ray", "spark")
ROUNDS = dict.fromkeys(PARTS, 1)


@dataclass(frozen=True, slots=True)
class Loss:
    """What one shrink cost."""

    started: int
    kept: str
    right: bool
    slowest_s: float
    """The slowest worker's time to leave."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--framework", choices=sorted(SMALLEST), action="append")
    print(
        "| framework | way | tasks started / needed | data kept | result right | slowest to leave |"
    )
    print("|---|---|---|---|---|---|")
    for framework in parser.parse_args().framework or SMALLEST:
        for way in WAYS:
            show(framework, way, lost(framework, way))
    return 0


def part(framework: str, rounds: int) -> Part:
    """For the result file."""

    def measure_all() -> Samples:
        found: Samples = {way: [] for way in WAYS}
        for _ in range(rounds):
            for way, samples in found.items():
                samples.append({**asdict(lost(framework, way)), "needed": TASKS})
        return found

    package = {"dask": "distributed", "spark": "pyspark"}.get(framework, framework)
    return measured(measure_all, rounds, "the worst of them", ("ebbtide", package))


def lost(framework: str, way: str) -> Loss:
    """What one shrink costs."""
    os.environ["PYTHONPATH"] = str(ROOT)  # workers import tests.load
    with tempfile.TemporaryDirectory(prefix="ebb-", dir="/tmp") as folder:
        return WAYS[way](framework, Path(folder))


def plain(framework: str, folder: Path) -> Loss:
    """The framework alone."""
    log = folder / "starts"
    program = ROOT / "benchmarks" / "plain" / f"scale_in_{framework}.py"
    done = subprocess.run(
        [sys.executable, str(program), str(log), str(TASKS)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return Loss(sum(starts(log).values()), told["kept"], told["right"], told["seconds"])


def ebb(framework: str, folder: Path) -> Loss:
    """On a cluster of Ebb's, whose autoscaler picks who leaves."""
    log = folder / "starts"
    program = ROOT / "tests" / "contract" / "programs" / f"drain_{framework}.py"
    spec = run_spec("shrink", small(framework), program, words=(str(log), str(TASKS)))
    outcome = carried_out(folder, spec)
    if outcome.error is not None:
        raise SystemExit(outcome.errors())
    told = json.loads(outcome.output())
    left = [
        float(m[1])
        for m in map(re.compile(r"after ([\d.]+)s").search, outcome.messages("left"))
        if m
    ]
    return Loss(
        sum(starts(log).values()), "all" if told["kept"] else "not all", told["right"], max(left)
    )


WAYS: dict[str, Callable[[str, Path], Loss]] = {"plain": plain, "ebb": ebb}


def show(framework: str, way: str, loss: Loss) -> None:
    """One line of the table."""
    right = "yes" if loss.right else "no"
    print(
        f"| {framework} | {way} | {loss.started} / {TASKS} | {loss.kept} | {right}"
        f" | {loss.slowest_s:.1f} s |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
