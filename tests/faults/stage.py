"""One installation for one fault: specs of tiny runs, a program that counts its starts, waiting."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebbtide.infra.models.cluster import AutoscalePolicy, ClusterSpec
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import JobSpec, RetryPolicy, RunSpec
from ebbtide.infra.models.phases import Step
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.faults.census import Census, Count
from tests.helpers import wait_until

ROOT = Path(__file__).parents[2]
LEASE_S = 4.0
SLACK_S = 60.0
"""On top of the lease's time. For machines that do much else; what it took is in the summary."""
PLENTY_S = 120.0
ITS_CODE = 3
"""What the program exits with: a code that nobody gives by mistake."""
RUN = RunName("test-run")

PROGRAM = f"""
import os, pathlib, sys, time
with open("starts", "a") as starts:
    starts.write(f"{{os.getpid()}} {{time.time()}}\\n")
print("started", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.05)
sys.exit({ITS_CODE} if len(sys.argv) < 2 else int(sys.argv[1]))
"""
"""Notes each start, waits for a file named ``go``, and ends with its argument."""


@dataclass(slots=True)
class Stage:
    """A home, a working folder and a temporary folder of its own, and all that is started in it."""

    home: Path
    work: Path
    """Where the program runs, and where faults leave their time."""
    census: Census
    environment: dict[str, str] = field(default_factory=dict)
    flows: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> Settings:
        """Of this installation."""
        return Settings(home=self.home)

    @property
    def ebb(self) -> str:
        """The command, as it is installed beside this Python."""
        return str(Path(sys.executable).with_name("ebb"))

    def spec(self, framework: str = "none", *words: str) -> RunSpec:
        """A run of the counting program on the smallest cluster there is."""
        heavy = framework in ("ray", "spark")  # a JVM's heap, Ray's agents
        size = Resources(500, 1536 * 2**20) if heavy else Resources(250, 512 * 2**20)
        tier = HardwareTier(name="tiny", pool="machine", resources=size)
        pool = NodePool(name="machine", platform="local", capacity=Resources(4000, 2**33))
        program = self.work / "program.py"
        program.write_text(PROGRAM)
        return RunSpec(
            name=RUN,
            platform="local",
            cluster=ClusterSpec(
                framework=framework,
                tier=tier,
                head_tier=tier,
                pool=pool,
                policy=AutoscalePolicy(min_workers=1, max_workers=1),
            ),
            job=JobSpec(argv=(sys.executable, str(program), *words), workdir=str(self.work)),
            retry=RetryPolicy(reasons=("capacity", "infra"), replacements=1),
            lease_s=LEASE_S,
        )

    def start(
        self,
        spec: RunSpec,
        step: Step | None = None,
        who: str = "",
        *,
        prefect: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A flow process of this run, with a fault when a step is named; see ``die_at``."""
        file = self.work / f"{spec.name}.json"
        file.write_text(to_json(spec))
        argv = [sys.executable, "-m", "tests.faults.die_at", str(file)]
        argv += [step.value, who] if step else []
        argv += ["--prefect"] if prefect is not None else []
        return self.popen(argv, {**(prefect or {})})

    def popen(
        self, argv: list[str], more: Mapping[str, str] | None = None, **how: Any
    ) -> subprocess.Popen[bytes]:
        """Any process of this installation; its output is shown when the test fails."""
        environment = {**os.environ, **self.environment, **(more or {})}
        how = {"cwd": ROOT, "stdin": subprocess.DEVNULL, **how}
        process = subprocess.Popen(argv, env=environment, **how)
        self.flows.append(process)
        return process

    def let_program_end(self) -> None:
        """From now on the program ends as soon as it has started."""
        (self.work / "go").touch()

    def starts(self) -> int:
        """How often the program was started."""
        with contextlib.suppress(FileNotFoundError):
            return len((self.work / "starts").read_text().splitlines())
        return 0

    def wait_for(self, probe: Callable[[], Any], why: str, timeout_s: float = PLENTY_S) -> Any:
        """Wait, counting all the while, so that every socket there ever was is known."""

        def look() -> Any:
            self.census.take()
            return probe()

        return wait_until(look, timeout_s, why)

    def wait_for_program(self) -> None:
        """Until the program runs."""
        self.wait_for(self.starts, "the program has started")

    def wait_for_end(self, process: subprocess.Popen[bytes], timeout_s: float = PLENTY_S) -> int:
        """Until a process has ended; gives its exit code, negative for a signal."""
        self.wait_for(lambda: process.poll() is not None, "the flow process has ended", timeout_s)
        return int(process.returncode)

    def wait_for_nothing(self, count: Callable[[], Count] | None = None) -> None:
        """Until nothing is left, within the lease's time and some slack; else says what is."""
        last = [Count()]

        def empty() -> bool:
            last[0] = (count or self.census.take)()
            return not last[0]

        try:
            wait_until(empty, LEASE_S + SLACK_S, "nothing is left")
        except AssertionError as error:
            raise AssertionError(f"{error}: {last[0]}") from None

    def without_runs(self) -> Count:
        """What is left apart from the run's own row, which the next command may have to end."""
        now = self.census.take()
        return Count(now.processes, now.ports, now.folders, now.temporary, now.shares, now.clusters)

    def killed_at(self) -> float:
        """When the fault came, Unix time."""
        return float(json.loads((self.work / "killed").read_text())["wall"])

    def since_fault(self) -> float:
        """Seconds since the fault came."""
        return time.monotonic() - float(json.loads((self.work / "killed").read_text())["clock"])

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """From the ledger, read only."""
        path = f"file:{self.home / 'ledger.sqlite'}?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(sql, values)]

    def run_row(self, name: str = RUN) -> dict[str, Any]:
        """The run."""
        (row,) = self.rows("SELECT * FROM runs WHERE name = ?", name)
        return row

    def clusters(self) -> list[dict[str, Any]]:
        """All clusters there have been, oldest first."""
        return self.rows("SELECT * FROM clusters ORDER BY seq")

    def pids(self, *roles: str) -> list[int]:
        """Living processes with one of these roles."""
        return [each.pid for each in marks.marked(self.home) if each.role in roles]

    def ledger(self) -> contextlib.closing[Ledger]:
        """Open for writing, closed at the end of the block."""
        return contextlib.closing(Ledger(self.home))

    def tell(self) -> None:
        """What happened, for whoever reads why a test failed."""
        with contextlib.suppress(sqlite3.Error):
            for row in self.rows("SELECT at, kind, step, reason, message, data FROM events"):
                print(*row.values())
            for table in ("runs", "clusters"):
                for row in self.rows(f"SELECT * FROM {table}"):
                    print(table, {k: v for k, v in row.items() if k not in ("spec", "view")})
        for log in sorted(self.home.glob("runs/*/*.log")):
            print(f"--- {log}\n{log.read_text(errors='replace')[-2000:]}")


def assert_one_at_a_time(clusters: list[dict[str, Any]]) -> None:
    """No cluster was made before the one before it was proved released."""
    for before, after in itertools.pairwise(clusters):
        assert before["released_at"] is not None
        assert after["created"] >= before["released_at"]
