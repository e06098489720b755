"""Ten thousand runs at once: some wait, the rest is refused with a reason, and those there end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.flows.launch import launch
from ebbtide.infra.errors import CapacityError
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.faults.conftest import Note
from tests.faults.stage import Stage

WAITING = 3
CROWD = 10_000
REFUSED_WITHIN_S = 120.0


def spec_of(stage: Stage, name: str, waiting: int = WAITING) -> RunSpec:
    """A run in a pool with room for one."""
    spec = stage.spec("none", "0")
    pool = replace(spec.cluster.pool, capacity=Resources(250, 2**30), runs_waiting=waiting)
    return replace(spec, name=RunName(name), cluster=replace(spec.cluster, pool=pool), lease_s=30.0)


@pytest.fixture
def outside(
    stage: Stage, prefect_environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> Stage:
    """This process starts runs as ``ebb run`` does."""
    for name, value in {**stage.environment, **prefect_environment}.items():
        monkeypatch.setenv(name, value)
    return stage


def started(settings: Settings, ledger: Ledger, spec: RunSpec) -> None:
    """As ``ebb run --detach`` does."""
    launch(settings, ledger, runs.begin(ledger, spec), detach=True)


def test_ten_thousand_runs_are_refused_but_a_few_and_those_end(outside: Stage, note: Note) -> None:
    stage, settings, seen = outside, Settings(home=outside.home), Counter[str]()
    with stage.ledger() as ledger:
        started(settings, ledger, spec_of(stage, "first"))
        stage.wait_for_program()
        began = time.monotonic()
        for number in range(CROWD):
            try:
                started(settings, ledger, spec_of(stage, f"run-{number}"))
            except CapacityError as error:
                seen[error.reason] += 1
        took_s = time.monotonic() - began
        note(took_s, "to refuse ten thousand runs")
        assert seen == {Reason.QUEUE_FULL: CROWD - WAITING}
        assert took_s < REFUSED_WITHIN_S
        assert len(ledger.rows("SELECT name FROM runs")) == WAITING + 1, "nothing else was made"
        stage.let_program_end()
        ended = "SELECT name FROM runs WHERE phase = 'Succeeded'"
        stage.wait_for(lambda: len(ledger.rows(ended)) == WAITING + 1, "all that were taken end")
    stage.wait_for_nothing()


def test_ebb_run_says_what_to_do_and_exits_as_for_no_capacity(stage: Stage) -> None:
    (stage.work / "ebb.yaml").write_text(
        "pools: {small: {cpu: 250m, memory: 1Gi, runs-waiting: 1}}\n"
        "tiers: {tiny: {cpu: 250m, memory: 512Mi}}\n"
    )
    with stage.ledger() as ledger:
        waiting = spec_of(stage, "waits")
        pool = replace(waiting.cluster.pool, name="small")
        runs.begin(ledger, replace(waiting, cluster=replace(waiting.cluster, pool=pool)))
        ledger.add_cluster(
            ClusterId("waits-1"), RunName("waits"), attempt=1, pool="small", lease_s=60
        )
    argv = [stage.ebb, "run", "--framework", "none", "program.py"]
    done = subprocess.run(
        argv, cwd=stage.work, env={**os.environ, **stage.environment}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == ExitCode.NO_CAPACITY
    for words in ("CAPACITY:QUEUE_FULL", "pool small lets 1 runs wait", "ebb ps", "runs-waiting"):
        assert words in done.stderr
    assert [row["name"] for row in stage.rows("SELECT name FROM runs")] == ["waits"]
    with stage.ledger() as ledger:  # it was made by hand, and nobody owns it
        ledger.write("DELETE FROM clusters")
        ledger.write("DELETE FROM runs")


BEGIN = """
import json, sys
from pathlib import Path
from ebbtide.infra.records import runs
from ebbtide.infra.errors import CapacityError
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.models.codec import from_json
from ebbtide.infra.models.job import RunSpec
from dataclasses import replace
ledger, spec = Ledger(Path(sys.argv[1])), from_json(RunSpec, sys.stdin.read())
print("ready", flush=True)
taken = 0
for number in range(20):
    try:
        runs.begin(ledger, replace(spec, name=f"{sys.argv[2]}-{number}"))
        taken += 1
    except CapacityError:
        pass
print(json.dumps(taken))
"""


def test_no_more_are_taken_when_many_ask_in_the_same_moment(stage: Stage) -> None:
    with stage.ledger() as ledger:
        ledger.rows("SELECT 1")
    text = to_json(spec_of(stage, "x", waiting=10))
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, str(stage.home), f"by-{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    answers = [process.communicate(text)[0] for process in asking]
    assert sum(json.loads(answer.splitlines()[-1]) for answer in answers) == 10
    with stage.ledger() as ledger:
        ledger.write("DELETE FROM runs")


def test_a_name_that_was_used_often_is_found_a_number_at_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with ledger.transaction() as connection:
        names = [("often",), *((f"often-{number}",) for number in range(2, CROWD))]
        row = "INSERT INTO runs (name, spec, phase, created) VALUES (?, '', 'Queued', 0)"
        connection.executemany(row, [*names, ("often.er",), ("oftentimes",)])
    began = time.monotonic()
    assert runs.free_name(ledger, RunName("often")) == f"often-{CROWD}"
    assert runs.free_name(ledger, RunName("oftent")) == "oftent"
    assert time.monotonic() - began < 1.0
    ledger.close()


def test_eight_that_ask_for_one_name_at_once_all_run_under_names_of_their_own(stage: Stage) -> None:
    """In a new home, whose ledger is made by one of them while the others want it."""
    (stage.work / "at_once.py").write_text("")
    argv = [stage.ebb, "run", "--framework", "none", "--name", "same", "at_once.py"]
    environment = {**os.environ, **stage.environment, "EBB_PREFECT_SERVER": "off"}
    asking = [
        subprocess.Popen(argv, cwd=stage.work, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    said = [process.communicate()[1] for process in asking]
    assert [process.returncode for process in asking] == [0] * 8, said
    names = {row["name"] for row in stage.rows("SELECT name FROM runs")}
    assert names == {"same", *(f"same-{number}" for number in range(2, 9))}
    assert not any("had no living owner" in text for text in said)
