"""From the command to the program's first line on Kubernetes: ``ebb run`` beside its manifests.

``python -m benchmarks.kubernetes_start_up --rounds 5 --framework dask`` runs, interleaved, the
same program on the namespace that is in use (``--context``, EBB_CONTEXT and the like; a node that
has the images must be there),

* applied: the very objects of ``ebb run --plan -o yaml``, made one after the other with the same
  Python client, as ``kubectl apply`` does; the program's code put in its pod as ``kubectl cp``
  does, and the first line of the driver's log,
* ebb: ``ebb run``, from the command on.

It also tells how many requests a run asks of the API server, and how long a release takes, from
the order to nothing left (of Dask with a worker that is busy, and deaf to SIGTERM while it is).
Ratios are what counts; absolute times are this cluster's. Nothing is left.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.start_up import conditions
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import REQUESTS_FILE
from ebbtide.infra.platforms.kubernetes.clusters.awaiting import until
from ebbtide.infra.platforms.kubernetes.clusters.declaring import declare
from ebbtide.infra.platforms.kubernetes.clusters.releasing import release
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object
from ebbtide.infra.platforms.kubernetes.naming import driver_name, head_name
from ebbtide.infra.platforms.kubernetes.shipping.package import pack
from ebbtide.infra.platforms.kubernetes.shipping.sending import send
from ebbtide.infra.settings import load_settings

DEADLINE_S = 180.0
BUSY = """
from distributed import Client
def spins():
    while True:
        sum(range(10**6))
client = Client()
print(client.submit(sum, [1, 2]).result(), flush=True)
busy = client.submit(spins)
while not any(client.processing().values()):
    pass
"""
"""Ends while a task keeps its worker busy: such a cluster is given back as quickly."""
PROGRAMS = {"dask": BUSY, "none": "print(3, flush=True)\n"}
_RELEASED = re.compile(r"release .*?(?:(\d+)m )?([0-9.]+)s$", re.MULTILINE)
_FILES = "files"
_LOOKS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, and what was asked."""

    first_line: float
    release: float
    requests: int


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--framework", choices=sorted(PROGRAMS), action="append")
    options = parser.parse_args()
    for framework in options.framework or PROGRAMS:
        with tempfile.TemporaryDirectory(prefix="ebb-bench-") as folder:
            report(framework, measure(Path(folder), options.rounds, framework))
    return 0


def measure(folder: Path, rounds: int, framework: str) -> dict[str, list[Timing]]:
    """Both in turn, after one run that is not counted: it leaves node and images as they stay."""
    work = folder / "work"
    work.mkdir()
    (work / "program.py").write_text(PROGRAMS[framework])
    environment = {**os.environ, "EBB_HOME": str(folder / "home"), "EBB_PREFECT_SERVER": "off"}
    os.environ["EBB_HOME"] = environment["EBB_HOME"]
    found: dict[str, list[Timing]] = {"applied": [], "ebb": []}
    by_ebb(work, environment, framework)
    for _ in range(rounds):
        for name, one in (("applied", applied), ("ebb", by_ebb)):
            at_any_moment()
            found[name].append(one(work, environment, framework))
    return found


def at_any_moment() -> None:
    """Wait for up to a second.

    A kubelet looks at its containers once a second, and what ends a run is one of these looks: what
    began right after it would always find the next one at the same distance.
    """
    threading.Event().wait(random.uniform(0, _LOOKS_EVERY_S))


def command(framework: str, *more: str) -> list[str]:
    """The command line a user types."""
    ebb = str(Path(sys.executable).with_name("ebb"))
    options = ["--platform", "kubernetes", "--framework", framework]
    options += ["--workers", "1"] if framework != "none" else []
    return [ebb, "run", *options, *more, "program.py"]


def by_ebb(work: Path, environment: dict[str, str], framework: str) -> Timing:
    """One run, timed from before the command starts."""
    book = work.parent / f"requests-{uuid.uuid4().hex}"
    environment = {**environment, REQUESTS_FILE: str(book)}
    started = time.monotonic()
    with (
        (work.parent / "stderr").open("w") as errors,
        subprocess.Popen(
            command(framework), cwd=work, env=environment, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        first = time.monotonic() - started
        process.stdout.read()
    told = (work.parent / "stderr").read_text()
    if process.returncode != 0 or line.strip() != b"3":
        raise SystemExit(f"ebb run failed:\n{told}")
    took = _RELEASED.search(told)
    release_s = 60 * float(took[1] or 0) + float(took[2]) if took else 0.0
    return Timing(first, release_s, len(book.read_text().splitlines()))


def applied(work: Path, environment: dict[str, str], framework: str) -> Timing:
    """The same objects; drawing them and packing the code is not counted."""
    drawn = subprocess.run(
        command(framework, "--plan", "-o", "yaml"),
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    things = list(yaml.safe_load_all(drawn.stdout))
    cluster = ClusterId(things[0]["metadata"]["name"])
    settings = load_settings()
    package = pack(work, work.parent, never=(settings.home,), needed=("program.py",))
    api = Api(connected(settings).access)
    driver = driver_name(cluster)
    store = head_name(cluster) if framework != "none" else driver
    try:
        started = time.monotonic()
        declare(api, things)
        until(api, POD, store, lambda pod: _runs(pod, _FILES), timeout_s=DEADLINE_S)
        send(api.run, store, package)
        until(api, POD, driver, lambda pod: _runs(pod, "driver"), timeout_s=DEADLINE_S)
        line = next(iter(api.logs(driver, "driver", {"follow": "true"}, timeout_s=DEADLINE_S)))
        first, asked = time.monotonic() - started, api.asked
        if line.strip() != b"3":
            raise SystemExit(f"the driver said {line!r}")
        ordered = time.monotonic()
    finally:
        release(api, cluster)
    gone = time.monotonic() - ordered
    api.close()
    return Timing(first, gone, asked)


def _runs(pod: Object | None, container: str) -> bool:
    statuses: list[dict[str, Any]] = (pod or {}).get("status", {}).get("containerStatuses") or []
    return any(
        status["name"] == container and not status["state"].get("waiting") for status in statuses
    )


def report(framework: str, timings: dict[str, list[Timing]]) -> None:
    """What was measured and how, and a table for the README."""
    names = ["ebbtide", "kubernetes", *(["distributed"] if framework == "dask" else [])]
    print(f"\n{framework}: {conditions(len(timings['ebb']), names)}")
    base = statistics.median(timing.first_line for timing in timings["applied"])
    print("\n| what | first line, median (min) | ratio (aim) | release | requests |")
    print("|---|---|---|---|---|")
    for name, measured in timings.items():
        first = [timing.first_line for timing in measured]
        median = statistics.median(first)
        gone = statistics.median(timing.release for timing in measured)
        asked = statistics.median(timing.requests for timing in measured)
        ratio = f"{median / base:.2f} × applied (≤ 1.1)" if name == "ebb" else ""
        row = f"{median:.2f} s ({min(first):.2f}) | {ratio} | {gone:.1f} s | {asked:.0f}"
        print(f"| {name} | {row} |")


if __name__ == "__main__":
    sys.exit(main())
