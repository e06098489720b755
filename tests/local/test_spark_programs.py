"""Programs for a laptop on one cluster, made by a user whose settings are those of another one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ebbtide.infra.frameworks import bootstrap
from ebbtide.infra.frameworks.base import FrameworkStatus
from ebbtide.infra.frameworks.heads import ask_status, published
from ebbtide.infra.models.demand import Demand, Unit
from ebbtide.infra.platforms.local.layout import Layout
from ebbtide.infra.settings import Settings
from tests.clusters import Stand, run_spec, script, standing
from tests.contract.conftest import small
from tests.helpers import wait_until

PROGRAMS = Path(__file__).parent / "programs"
SPELLINGS = str(PROGRAMS / "spark_spellings.py")
TIMEOUT_S = 400
PASSES = "spark.sql.shuffle.partitions 3\n"
GOVERNS = """
spark.master spark://192.0.2.1:7077
spark.driver.host 192.0.2.1
spark.authenticate false
spark.ui.enabled false
spark.executor.memory 64g
spark.dynamicAllocation.enabled true
spark.pyspark.python /nope
"""
LEFT_OVER = {
    "MASTER": "spark://192.0.2.1:7077",
    "SPARK_MASTER_HOST": "192.0.2.1",
    "SPARK_WORKER_CORES": "many",
    "SPARK_LOCAL_IP": "192.0.2.1",
    "SPARK_PUBLIC_DNS": "192.0.2.1",
    "SPARK_TESTING": "1",
    "PYSPARK_PYTHON": "/nope",
    "JAVA_TOOL_OPTIONS": "-XX:+UseParallelGC -XX:-UsePerfData",
}
BARRIER = """
    from pyspark.sql import SparkSession
    context = SparkSession.builder.getOrCreate().sparkContext
    context.setLogLevel("WARN")
    print(context.parallelize([1, 2], 2).barrier().mapPartitions(list).collect())
    """


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended well."""

    output: list[str]
    errors: str
    notes: list[dict[str, str]]


@pytest.fixture(scope="module")
def stand(home_of_module: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    settings = tmp_path_factory.mktemp("conf")
    (settings / "spark-defaults.conf").write_text(PASSES + GOVERNS)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**LEFT_OVER, "SPARK_CONF_DIR": str(settings)}.items():
            patch.setenv(name, value)
        spec = run_spec("laptop", small("spark", workers=1))
        with standing(home_of_module, spec, autoscale=False) as found:
            yield found


def environment(stand: Stand, notes: Path, *, bridge: bool = False) -> dict[str, str]:
    """What the supervisor gives a program."""
    environ = {**os.environ, **stand.view.driver_env}
    hook = Path(bootstrap.__file__).parent
    return environ | bootstrap.hook_environment(environ, "spark", hook, notes, bridge=bridge)


def run(stand: Stand, notes: Path, *argv: str, bridge: bool = False) -> Ended:
    """Run a program to its good end."""
    done = subprocess.run(
        [sys.executable, *argv],
        env=environment(stand, notes, bridge=bridge),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = notes.read_text().splitlines() if notes.exists() else []
    return Ended(done.stdout.splitlines(), done.stderr, [json.loads(line) for line in lines])


def status(stand: Stand) -> FrameworkStatus:
    """What the head says."""
    layout = Layout(Settings(home=stand.home).cluster_folder(stand.attempt.cluster))
    head = published(layout.head_file, layout.secrets)
    assert head is not None
    found = wait_until(lambda: ask_status(head), 60, "the head answers")
    assert found is not None
    return found


def test_nothing_has_ended_before_a_program_connects(stand: Stand) -> None:
    assert status(stand).finished == 0


def test_quick_starts_print_the_same_on_a_cluster_as_bare(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "spark-defaults.conf").write_text(PASSES)
    others = {name: value for name, value in os.environ.items() if name not in LEFT_OVER}
    environ = {**others, "SPARK_CONF_DIR": str(tmp_path), "JAVA_TOOL_OPTIONS": "-XX:-UsePerfData"}
    program = str(PROGRAMS / "spark_quickstarts.py")
    bare = subprocess.run(
        [sys.executable, program],
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    ).stdout
    ended = run(stand, tmp_path / "notes", program)
    assert ended.output == bare.splitlines()
    assert (ended.notes, "ebb: " in ended.errors) == ([], False)


def test_finished_tasks_of_a_program_that_has_ended_count_on(stand: Stand) -> None:
    """After the test before it, which has run some."""
    assert (status(stand).finished or 0) > 1


def test_what_a_program_did_and_its_executors_printed_is_kept(stand: Stand) -> None:
    kept = Settings(home=stand.home).run_folder(stand.attempt.spec.name) / "artifacts"
    assert list(kept.glob("driver/eventlog/eventlog_v2_*/events_1_*"))
    assert list(kept.glob("worker-0/app-*/*/stderr"))


def test_masters_of_a_programs_own_are_noted(stand: Stand, tmp_path: Path) -> None:
    spellings = ("none_at_all", "builder", "configuration", "positional")
    ended = run(stand, tmp_path / "notes", SPELLINGS, *spellings)
    own = ["local[*]", "local[2]", "local"]
    assert [note["what"] for note in ended.notes] == own
    assert ended.output == [f"{master} 3" for master in (stand.view.head_address, *own)]
    assert "ebb: " not in ended.errors


def test_masters_of_a_programs_own_are_led_to_the_cluster(stand: Stand, tmp_path: Path) -> None:
    ended = run(stand, tmp_path / "notes", SPELLINGS, "builder", "positional", bridge=True)
    assert ended.output == [f"{stand.view.head_address} 3"] * 2
    assert ended.errors.count("ebb: the program asks for the master local") == 2
    assert ended.notes == []


def test_a_barrier_stage_that_waits_is_demand_until_it_has_room(
    stand: Stand, tmp_path: Path
) -> None:
    environ = environment(stand, tmp_path / "notes")
    command = [sys.executable, str(script(tmp_path, BARRIER))]
    wanted = Demand(
        kind="barrier stage",
        units=(Unit(needs={"CPU": 1.0}, count=2),),
        together=True,
        label="job 0",
    )
    with subprocess.Popen(command, env=environ) as program:
        try:
            wait_until(lambda: wanted in status(stand).demand.waiting, 180, "it waits")
        finally:
            program.kill()
    wait_until(lambda: not status(stand).demand.waiting, 60, "nothing waits without its program")
