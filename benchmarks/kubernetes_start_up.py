"""From the command to the program's first line on Kubernetes: ``ebb run`` beside its manifests.

``python -m benchmarks.kubernetes_start_up --rounds 5 --framework dask`` runs, interleaved, the
same program on the namespace that is in use (``--context``, EBB_CONTEXT and the like; a node that
has the images must be there),

* kubectl: the very objects of ``ebb run --plan -o yaml``, as somebody brings them up by hand, each
  command when the one before has ended: ``kubectl apply --server-side`` of the file, ``kubectl
  wait`` for the pod that takes the code, ``kubectl exec -i`` that puts it there, with a framework
  ``kubectl wait`` for the driver's pod, and ``kubectl logs -f`` until the first line. Counted from
  the start of the first command, as of ``ebb run``; kubectl knows the server's kinds already. Not
  counted: drawing the objects, and packing the code.
* in process: the same with no start of any client: by this process, which has all imported, and
  has a connection. The lower bound of what any tool can take.
* ebb: ``ebb run``, from the command on: its own start, checking, packing, records, all of it.

It also tells how many requests a run asks of the API server, and how long a release takes, from
the order to nothing left (of Dask with a worker that is busy, and deaf to SIGTERM while it is); the
objects of the first two are given back in the way of ours too. Ray and Spark want images that
``make lab ARGS="--image ray --image spark"`` brings. kubectl is the one that is on PATH
(``--kubectl`` names another, or ``lab`` that of the lab's version), else it is built once into the
lab's cache. Ratios are what counts; absolute times are this cluster's. Nothing is left.
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
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from benchmarks import kubectl
from benchmarks.results import Part, Samples, measured
from benchmarks.start_up import conditions
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import REQUESTS_FILE
from ebbtide.infra.platforms.kubernetes.clusters.awaiting import until
from ebbtide.infra.platforms.kubernetes.clusters.declaring import declare
from ebbtide.infra.platforms.kubernetes.clusters.releasing import release
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object, kind_of
from ebbtide.infra.platforms.kubernetes.naming import driver_name, head_name
from ebbtide.infra.platforms.kubernetes.shipping.package import Package, pack
from ebbtide.infra.platforms.kubernetes.shipping.sending import send
from ebbtide.infra.settings import load_settings

PARTS = ("none", "dask", "ray", "spark")
ROUNDS = {"dask": 12, "none": 4}
"""Where it is not 5."""
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
RAY = """
import ray
ray.init(log_to_driver=False)
print(ray.get(ray.remote(lambda: 3).remote()), flush=True)
"""
SPARK = """
from pyspark.sql import SparkSession
context = SparkSession.builder.getOrCreate().sparkContext
print(context.parallelize([1, 2], 1).sum(), flush=True)
"""
PROGRAMS = {"dask": BUSY, "none": "print(3, flush=True)\n", "ray": RAY, "spark": SPARK}
LIBRARIES = {"dask": ["distributed"], "ray": ["ray"], "spark": ["pyspark"]}
TIERS = {"ray": "medium", "spark": "medium"}
"""Of head, worker and driver, where the smallest has too little memory for a framework."""
_RELEASED = re.compile(r"release .*?(?:(\d+)m )?([0-9.]+)s$", re.MULTILINE)
_FILES = "files"
_LOOKS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, and what was asked."""

    first_line_s: float
    release_s: float
    requests: int | None = None
    """None: not counted."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What is applied: all that is made before the clock starts."""

    cluster: ClusterId
    file: Path
    things: list[Object]
    package: Package
    driver: str
    store: str
    """The pod that takes the code."""


Apply = Callable[[Api, Drawn], float]
"""Brings what was drawn up; returns how long it took to the first line, in seconds."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--framework", choices=sorted(PROGRAMS), action="append")
    parser.add_argument("--kubectl", default="", help="a path, or lab: that of the lab's version")
    options = parser.parse_args()
    program = kubectl.find(options.kubectl)
    for framework in options.framework or PROGRAMS:
        report(framework, timed(framework, options.rounds, program), kubectl.version(program))
    return 0


def part(framework: str, rounds: int) -> Part:
    """For the result file; with the kubectl that is on PATH, else that of the lab."""
    program = kubectl.find("")

    def measure_all() -> Samples:
        found = timed(framework, rounds, program)
        return {way: [asdict(timing) for timing in timings] for way, timings in found.items()}

    conditions = f"kinds interleaved, kubectl {kubectl.version(program)}"
    return measured(measure_all, rounds, conditions, distributions(framework))


def timed(framework: str, rounds: int, program: Path) -> dict[str, list[Timing]]:
    """Measure in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ebb-bench-") as folder:
        return measure(Path(folder), rounds, framework, program)


def distributions(framework: str) -> list[str]:
    """Whose versions the figures depend on."""
    return ["ebbtide", "kubernetes", *LIBRARIES.get(framework, ())]


def measure(folder: Path, rounds: int, framework: str, program: Path) -> dict[str, list[Timing]]:
    """All in turn, after one round that is not counted: it leaves node and images as they stay."""
    work = folder / "work"
    work.mkdir()
    (work / "program.py").write_text(PROGRAMS[framework])
    environment = {**os.environ, "EBB_HOME": str(folder / "home"), "EBB_PREFECT_SERVER": "off"}
    os.environ["EBB_HOME"] = environment["EBB_HOME"]
    client = kubectl.Kubectl(program, connected(load_settings()).access, DEADLINE_S)
    ways: dict[str, Callable[[Path, dict[str, str], str], Timing]] = {
        "kubectl": partial(applied, partial(by_kubectl, client)),
        "in process": partial(applied, in_process),
        "ebb": by_ebb,
    }
    found: dict[str, list[Timing]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, one in ways.items():
            at_any_moment()
            timing = one(work, environment, framework)
            told = f"{framework} {number}/{rounds} {name}: {timing.first_line_s:.2f} s"
            print(told, file=sys.stderr, flush=True)
            if number:
                found[name].append(timing)
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
    if framework in TIERS:
        options += ["--tier", TIERS[framework], "--head-tier", TIERS[framework]]
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


def applied(apply: Apply, work: Path, environment: dict[str, str], framework: str) -> Timing:
    """The objects of a run, without it."""
    things = draw(work, environment, framework)
    api = Api(connected(load_settings()).access)
    try:
        first, asked = apply(api, things), api.asked
    finally:
        ordered = time.monotonic()
        release(api, things.cluster)
        gone = time.monotonic() - ordered
        for thing in things.things:  # what kubectl has applied has no owner
            api.delete(kind_of(thing), thing["metadata"]["name"])
        api.close()
    return Timing(first, gone, asked or None)


def draw(work: Path, environment: dict[str, str], framework: str) -> Drawn:
    """Ask for the objects, and pack the code."""
    drawn = subprocess.run(
        command(framework, "--plan", "-o", "yaml"),
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,  # why nothing could be drawn is said on stderr
        text=True,
        check=True,
    )
    file = work.parent / "plan.yaml"
    file.write_text(drawn.stdout)
    things = list(yaml.safe_load_all(drawn.stdout))
    cluster = ClusterId(things[0]["metadata"]["name"])
    package = pack(work, work.parent, never=(load_settings().home,), needed=("program.py",))
    driver = driver_name(cluster)
    store = head_name(cluster) if framework != "none" else driver
    return Drawn(cluster, file, things, package, driver, store)


def by_kubectl(client: kubectl.Kubectl, _: Api, drawn: Drawn) -> float:
    """With one client process after the other."""
    started = time.monotonic()
    client.apply(drawn.file)
    client.wait(drawn.store)
    client.put(drawn.store, drawn.package, unpacked=drawn.store != drawn.driver)
    if drawn.store != drawn.driver:
        client.wait(drawn.driver)
    with client.lines(drawn.driver, "driver") as lines:
        said_three(lines)
        return time.monotonic() - started


def in_process(api: Api, drawn: Drawn) -> float:
    """With the client of ours, imported and connected."""
    started = time.monotonic()
    declare(api, drawn.things)
    until(api, POD, drawn.store, lambda pod: _runs(pod, _FILES), timeout_s=DEADLINE_S)
    send(api.run, drawn.store, drawn.package)
    until(api, POD, drawn.driver, lambda pod: _runs(pod, "driver"), timeout_s=DEADLINE_S)
    said_three(api.logs(drawn.driver, "driver", {"follow": "true"}, timeout_s=DEADLINE_S))
    return time.monotonic() - started


def said_three(lines: Iterable[bytes]) -> None:
    """Read a driver's log until it has what each program says, past what frameworks tell.

    Raises:
        SystemExit: it ends without.
    """
    others = []
    for line in lines:
        if line.strip() == b"3":
            return
        others.append(line.decode(errors="replace"))
    raise SystemExit(f"the driver said {''.join(others)!r}")


def _runs(pod: Object | None, container: str) -> bool:
    statuses: list[dict[str, Any]] = (pod or {}).get("status", {}).get("containerStatuses") or []
    return any(
        status["name"] == container and not status["state"].get("waiting") for status in statuses
    )


def report(framework: str, timings: dict[str, list[Timing]], client: str) -> None:
    """What was measured and how, and a table for the docs."""
    names = distributions(framework)
    print(f"\n{framework}: {conditions(len(timings['ebb']), names)}, kubectl {client}")
    medians = {
        name: statistics.median(timing.first_line_s for timing in found)
        for name, found in timings.items()
    }
    print("\n| what | first line, median (min) | ebb beside it (aim) | release | requests |")
    print("|---|---|---|---|---|")
    for name, found in timings.items():
        first = min(timing.first_line_s for timing in found)
        gone = statistics.median(timing.release_s for timing in found)
        asked = [timing.requests for timing in found if timing.requests is not None]
        requests = f"{statistics.median(asked):.0f}" if asked else ""
        ratio = f"{medians['ebb'] / medians[name]:.2f} ×" if name != "ebb" else ""
        aim = " (≤ 1.1)" if name == "kubectl" else ""
        row = f"{medians[name]:.2f} s ({first:.2f}) | {ratio}{aim} | {gone:.1f} s | {requests}"
        print(f"| {name} | {row} |")


if __name__ == "__main__":
    sys.exit(main())
