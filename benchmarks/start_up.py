"""From the command to the program's first line: ``ebb run`` beside the bare framework.

``python -m benchmarks.start_up --rounds 5 --framework dask`` runs, interleaved, the same program

* bare: with the framework's own way on one machine (``LocalCluster``, ``ray.init()``, a
  ``SparkSession`` on ``local-cluster``) and one worker, in one script,
* warm: by ``ebb run`` with the local Prefect server running,
* cold: by ``ebb run`` in a fresh home, where the server has to start (its template is there),
* prefect: a Prefect server from nothing to healthy, alone.

``--without-cold`` leaves the last two out, each of which keeps two cores busy for ten seconds. Each
run is followed until Prefect's record of it is finished, behind the prompt: none disturbs the next.

Ratios are what counts; absolute times are this machine's. Nothing is left running.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.results import Part, Samples, measured
from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.template import ensure_template
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wait_until

PARTS = ("dask", "ray", "spark")
ROUNDS = {"spark": 3}
"""Where it is not 5."""
IDLE_S = 600.0
DEADLINE_S = 180.0

BARE, UNDER_EBB = {}, {}
BARE["dask"] = """
from distributed import Client, LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1) as cluster, Client(cluster) as client:
        print(client.submit(sum, [1, 2]).result(), flush=True)
"""
UNDER_EBB["dask"] = """
from distributed import Client
with Client() as client:
    print(client.submit(sum, [1, 2]).result(), flush=True)
"""
BARE["ray"] = """
import ray
ray.init(num_cpus=1)
print(ray.get(ray.remote(lambda numbers: sum(numbers)).remote([1, 2])), flush=True)
"""
UNDER_EBB["ray"] = BARE["ray"].replace("num_cpus=1", "")
_SPARK_ALONE = """
import os, pyspark
os.environ["SPARK_HOME"] = os.path.dirname(pyspark.__file__)
os.environ["SPARK_SCALA_VERSION"] = "2.13"  # or its executors do not start from the wheel
"""
BARE["spark"] = f"""{_SPARK_ALONE}
from pyspark.sql import SparkSession
session = SparkSession.builder.master("local-cluster[1,1,1024]").getOrCreate()
print(session.sparkContext.parallelize([1, 2], 1).sum(), flush=True)
session.stop()
"""
UNDER_EBB["spark"] = BARE["spark"].replace(_SPARK_ALONE, "")
UNDER_EBB["spark"] = UNDER_EBB["spark"].replace('.master("local-cluster[1,1,1024]")', "")


@dataclass(frozen=True, slots=True)
class Timing:
    """From the command."""

    first_line_s: float
    end_s: float
    """To the prompt."""
    recorded_s: float | None = None
    """Until nothing is done behind the prompt any more: Prefect's record is finished."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--framework", choices=sorted(BARE), action="append")
    parser.add_argument("--without-cold", action="store_true", help="no server starts in a round")
    options = parser.parse_args()
    rounds = options.rounds
    for framework in options.framework or BARE:
        report(timed(framework, rounds, cold=not options.without_cold), rounds, framework)
    return 0


def part(framework: str, rounds: int, *, cold: bool) -> Part:
    """For the result file."""

    def measure_all() -> Samples:
        found = timed(framework, rounds, cold=cold)
        return {kind: [asdict(timing) for timing in timings] for kind, timings in found.items()}

    left_out = "" if cold else ", no server starts between rounds"
    conditions = f"medians, kinds interleaved{left_out}"
    return measured(measure_all, rounds, conditions, distributions(framework))


def timed(framework: str, rounds: int, *, cold: bool) -> dict[str, list[Timing]]:
    """Measure in a folder that is gone afterwards."""
    ensure_template(os.environ)
    with tempfile.TemporaryDirectory(prefix="ebb-bench-") as folder:
        return measure(Path(folder), rounds, framework, cold=cold)


def measure(folder: Path, rounds: int, framework: str, *, cold: bool) -> dict[str, list[Timing]]:
    """All kinds in turn, ``rounds`` times, so that a busy moment hits them alike."""
    bare, program = folder / "bare.py", folder / "program.py"
    bare.write_text(BARE[framework])
    program.write_text(UNDER_EBB[framework])
    warm_home = folder / "warm"
    server.ensure(warm_home, deadline_s=DEADLINE_S, idle_s=IDLE_S)
    found: dict[str, list[Timing]] = {"bare": [], "warm": [], "cold": [], "prefect": []}
    try:
        for number in range(rounds):
            found["bare"].append(run([sys.executable, str(bare)], folder, folder / "unused"))
            found["warm"].append(run(ebb(program, framework), folder, warm_home))
            if not cold:
                continue
            cold_home = folder / f"cold-{number}"
            found["cold"].append(run(ebb(program, framework), folder, cold_home))
            server.stop(cold_home)
            found["prefect"].append(prefect_alone(folder / f"prefect-{number}"))
    finally:
        server.stop(warm_home)
    return found


def ebb(program: Path, framework: str) -> list[str]:
    """The command line a user types."""
    command = str(Path(sys.executable).with_name("ebb"))
    return [command, "run", "--framework", framework, "--workers", "1", str(program)]


def run(argv: list[str], folder: Path, home: Path) -> Timing:
    """One command, timed from before it starts to its first line and its end."""
    environment = {**os.environ, "EBB_HOME": str(home)}
    for name in ("PREFECT_API_URL", "EBB_WAIT_FOR_RECORD"):
        environment.pop(name, None)
    started = time.monotonic()
    with (
        (folder / "stderr").open("w") as errors,
        subprocess.Popen(
            argv, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        first = time.monotonic() - started
        process.stdout.read()
    if process.returncode != 0 or line.strip() != b"3":
        raise SystemExit(f"{argv} failed:\n{(folder / 'stderr').read_text()}")
    end = time.monotonic() - started
    return Timing(first, end, _recorded(home, started) if home.exists() else None)


def _recorded(home: Path, started: float) -> float:
    """Wait until no flow process is left in a home, and give the seconds since the start."""
    with contextlib.closing(Ledger(home)) as ledger:
        wait_until(lambda: not reaper.being_recorded(ledger), timeout_s=DEADLINE_S)
    return time.monotonic() - started


def prefect_alone(home: Path) -> Timing:
    """A server from nothing to healthy."""
    started = time.monotonic()
    server.ensure(home, deadline_s=DEADLINE_S, idle_s=IDLE_S)
    up = time.monotonic() - started
    server.stop(home)
    return Timing(up, up)


def conditions(rounds: int, names: Sequence[str]) -> str:
    """How it was measured, and with which versions of these distributions."""
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    python = f"Python {platform.python_version()}"
    return f"{rounds} rounds, interleaved; {machine}, {python}, {versions}"


def distributions(framework: str) -> tuple[str, ...]:
    """Whose versions the figures depend on."""
    package = {"dask": "distributed", "spark": "pyspark"}.get(framework, framework)
    return "ebbtide", package, "prefect"


def report(timings: dict[str, list[Timing]], rounds: int, framework: str) -> None:
    """What was measured and how, and a table for the README."""
    print(f"\n{framework}: {conditions(rounds, distributions(framework))}")
    bare = statistics.median(t.first_line_s for t in timings["bare"])
    prefect = [timing.first_line_s for timing in timings["prefect"]] or [bare]
    slower = max(bare, statistics.median(prefect))
    aims = {"warm": (bare, "bare", 1.25), "cold": (slower, "slower of bare and Prefect", 1.1)}
    print("\n| what | first line, median (min) | to the prompt | record finished | ratio (aim) |")
    print("|---|---|---|---|---|")
    for name, found in timings.items():
        if not found:
            continue
        first = [timing.first_line_s for timing in found]
        end = statistics.median(timing.end_s for timing in found)
        median = statistics.median(first)
        done = [timing.recorded_s for timing in found if timing.recorded_s is not None]
        recorded = f"{statistics.median(done):.2f} s" if done else ""
        ratio = ""
        if name in aims:
            base, words, aim = aims[name]
            ratio = f"{median / base:.2f} × {words} (≤ {aim})"
        print(
            f"| {name} | {median:.2f} s ({min(first):.2f}) | {end:.2f} s | {recorded} | {ratio} |"
        )


if __name__ == "__main__":
    sys.exit(main())
