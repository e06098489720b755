"""What a shrink costs: Ebb's beside each framework's plain way, in one run.

``python benchmarks/scale_in.py`` runs the same work on three workers of each framework (tasks that
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
from dataclasses import dataclass
from pathlib import Path

from tests.clusters import carried_out, run_spec
from tests.contract.conftest import SMALLEST, small
from tests.load import starts

ROOT = Path(__file__).resolve().parents[1]
TASKS, TIMEOUT_S = 30, 600


@dataclass(frozen=True, slots=True)
class Loss:
    """What one shrink cost."""

    started: int
    kept: str
    right: bool
    seconds: float
    """The slowest worker's time to leave."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--framework", choices=sorted(SMALLEST), action="append")
    os.environ["PYTHONPATH"] = str(ROOT)  # workers import tests.load
    print(
        "| framework | way | tasks started / needed | data kept | result right | slowest to leave |"
    )
    print("|---|---|---|---|---|---|")
    for framework in parser.parse_args().framework or SMALLEST:
        for way, measure in (("plain", plain), ("ebb", ebb)):
            with tempfile.TemporaryDirectory(prefix="ebb-", dir="/tmp") as folder:
                show(framework, way, measure(framework, Path(folder)))
    return 0


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
    return Loss(sum(starts(log).values()), **told)


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


def show(framework: str, way: str, loss: Loss) -> None:
    """One line of the table."""
    right = "yes" if loss.right else "no"
    print(
        f"| {framework} | {way} | {loss.started} / {TASKS} | {loss.kept} | {right}"
        f" | {loss.seconds:.1f} s |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
