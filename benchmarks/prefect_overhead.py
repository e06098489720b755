"""What Prefect costs a run: the seven steps on a do-nothing cluster, with it and without.

``python -m benchmarks.prefect_overhead --rounds 5`` runs ``true`` on platform local with framework
none (no head, no workers), interleaved,

* steps: the seven steps in one process, without Prefect,
* plain: a Prefect flow of seven empty tasks, nothing of ours, against a running server,
* flow: the flow run-job, as a Prefect worker runs it, against that server,
* ebb: ``ebb run`` against that server,
* plain-cold: the plain flow in a fresh home without a server, where Prefect starts its own,
* ebb-cold: ``ebb run`` in a fresh home, where its Prefect server has to start (its template is
  there).

A relay on loopback in front of the server counts requests; a cold run's own server is not behind
it. CPU time is the kernel's account of all processes of a run, in a cold one with its server.
Ratios are what counts; absolute times are this machine's. Nothing is left running.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.counting_proxy import Traffic, counting
from benchmarks.results import Part, Samples, measured
from benchmarks.start_up import DEADLINE_S, IDLE_S, conditions
from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.flows.prefect_server.template import ensure_template

ROOT = Path(__file__).resolve().parents[1]
EBB = [str(Path(sys.executable).with_name("ebb")), "run", "--framework", "none", "--", "true"]
STEPS = """
import os
from pathlib import Path
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import load_settings
settings = load_settings()
ledger = Ledger(settings.home)
request = RunRequest(argv=("true",), options={"framework": "none"})
spec = spec_for(request, os.environ, Path.cwd())
spec = runs.begin(ledger, spec)
carry_out(settings, ledger, spec, steps)
"""
PLAIN = """
from prefect import flow, task
@task
def nothing(number): pass
@flow
def seven():
    for number in range(7): nothing(number)
seven()
"""
FLOW = """
from ebbtide.flows.form import Cluster
from ebbtide.flows.run_job import run_job
run_job(program="true", cluster=Cluster(framework="none"))
"""
KINDS = {
    "steps": [sys.executable, "-c", STEPS],
    "plain": [sys.executable, "-c", PLAIN],
    "flow": [sys.executable, "-c", FLOW],
    "ebb": EBB,
    "plain-cold": [sys.executable, "-c", PLAIN],
    "ebb-cold": EBB,
}
_COLD = ("plain-cold", "ebb-cold")
PARTS = ("true",)
ROUNDS = {"true": 3}
_RUN_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run."""

    wall_s: float
    """From the command to its end; for a run of ours that is after its release."""
    cpu_s: float
    """Of all its processes."""
    server_cpu_s: float = 0.0
    """Of the running server meanwhile."""
    requests: Counter[str] | None = None
    """By method and path; None where nobody counted."""
    sent_bytes: int = 0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paths", action="store_true", help="requests by method and path too")
    options = parser.parse_args()
    costs = counted_costs(options.rounds)
    report(costs, options.rounds)
    if options.paths:
        report_paths(costs)
    return 0


def part(_: str, rounds: int) -> Part:
    """For the result file."""

    def measure_all() -> Samples:
        found = counted_costs(rounds)
        return {kind: [_sample(cost) for cost in costs] for kind, costs in found.items()}

    conditions = "medians, kinds interleaved, after a round that is not counted"
    return measured(measure_all, rounds, conditions, ("ebbtide", "prefect"))


def _sample(cost: Cost) -> dict[str, Any]:
    paths = None if cost.requests is None else dict(cost.requests)
    return {
        "wall_s": cost.wall_s,
        "cpu_s": cost.cpu_s,
        "server_cpu_s": cost.server_cpu_s,
        "requests": None if cost.requests is None else cost.requests.total(),
        "requests_by_path": paths,
        "sent_bytes": cost.sent_bytes,
    }


def counted_costs(rounds: int) -> dict[str, list[Cost]]:
    """Measure in a folder that is gone afterwards."""
    ensure_template(os.environ)
    with tempfile.TemporaryDirectory(prefix="ebb-bench-") as folder:
        return measure(Path(folder), rounds)


def measure(folder: Path, rounds: int) -> dict[str, list[Cost]]:
    """All kinds in turn, so that a busy moment hits them alike; a first round is not counted."""
    found: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
    info = server.ensure(folder / "server", deadline_s=DEADLINE_S, idle_s=IDLE_S)
    try:
        with counting(info.url) as (url, traffic):
            named = {**server.client_environment(info), "PREFECT_API_URL": url}
            alone = {"steps": {}, "plain-cold": server.QUIET, "ebb-cold": {}}
            for number in range(-1, rounds):
                for kind in KINDS:
                    home = folder / f"{kind}-{number}"
                    cost = run(kind, home, alone.get(kind, named), info, traffic)
                    found[kind] += [cost] * (number >= 0)
    finally:
        server.stop(folder / "server")
    return found


def run(
    kind: str, home: Path, environment: Mapping[str, str], info: ServerInfo, traffic: Traffic
) -> Cost:
    """One run in a home of its own."""
    home.mkdir(mode=0o700)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT", "EBB"))}
    # With what is done behind the prompt.
    waits = {"EBB_WAIT_FOR_RECORD": "yes"}
    ours = {"EBB_HOME": str(home), "PREFECT_HOME": str(home / "client"), "PYTHONPATH": str(ROOT)}
    traffic.take()
    before = cpu_of(info)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.measured", str(home), *KINDS[kind]],
        cwd=home,
        env={**inherited, **ours, **waits, **environment},
        capture_output=True,
        text=True,
        timeout=_RUN_TIMEOUT_S,
        check=False,
    )
    server_cpu_s = cpu_of(info) - before
    if done.returncode != 0:
        raise SystemExit(f"{kind} failed:\n{done.stderr}")
    took = json.loads(done.stdout)
    requests, sent = traffic.take()
    if "PREFECT_API_URL" not in environment:
        return Cost(took["wall_s"], took["cpu_s"])
    return Cost(took["wall_s"], took["cpu_s"], server_cpu_s, requests, sent)


def cpu_of(info: ServerInfo) -> float:
    """Seconds of CPU that the server and its keeper have used so far."""
    keeper = psutil.Process(info.pid)
    tree = [keeper, *keeper.children(recursive=True)]
    return sum(t.user + t.system for t in (process.cpu_times() for process in tree))


def report(costs: dict[str, list[Cost]], rounds: int) -> None:
    """What was measured and how, and a table for the README."""
    print(f"\n`true` on framework none: {conditions(rounds, ('ebbtide', 'prefect'))}\n")
    columns = ("wall, median (min)", "× steps", "CPU", "× steps", "server CPU", "requests", "sent")
    print(f"| what | {' | '.join(columns)} |")
    print("|---" * (len(columns) + 1) + "|")
    base = {"wall": median(costs["steps"], "wall_s"), "cpu": median(costs["steps"], "cpu_s")}
    for kind, found in costs.items():
        wall, cpu = median(found, "wall_s"), median(found, "cpu_s")
        least = min(cost.wall_s for cost in found)
        cells = [f"{wall:.2f} s ({least:.2f})", f"{wall / base['wall']:.1f}"]
        cells += [f"{cpu:.2f} s", f"{cpu / base['cpu']:.1f}"]
        cells += ["", "not counted", ""] if kind in _COLD else counted(found)
        print(f"| {kind} | {' | '.join(cells)} |")


def counted(costs: list[Cost]) -> list[str]:
    """What the relay and the server saw of these runs."""
    totals = [cost.requests.total() for cost in costs if cost.requests is not None]
    if not totals:
        return ["", "none", ""]
    spread = f" ({min(totals)}–{max(totals)})" if min(totals) < max(totals) else ""
    sent = median(costs, "sent_bytes") / 1024
    server_cpu = median(costs, "server_cpu_s")
    return [f"{server_cpu:.2f} s", f"{statistics.median(totals):g}{spread}", f"{sent:.0f} KiB"]


def median(costs: list[Cost], name: str) -> float:
    """Of one field."""
    return float(statistics.median(getattr(cost, name) for cost in costs))


def report_paths(costs: dict[str, list[Cost]]) -> None:
    """Which requests a run makes, the most frequent first; of the last round."""
    for kind, found in costs.items():
        requests = found[-1].requests
        for path, count in requests.most_common() if requests else ():
            print(f"  {kind:<6} {count:>4}  {path}")


if __name__ == "__main__":
    sys.exit(main())
