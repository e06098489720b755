"""When processes of a cluster got how far, as whoever takes care of it notes it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import MAX_TIMED, ProcessTimes
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.platforms.local.processes import ProcessContext
from ebbtide.infra.platforms.local.supervisor.program import Driver
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.processes.identity import started_at
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wall_s
from tests.helpers import wait_until


@pytest.fixture
def reporter(tmp_path: Path) -> StatusReporter:
    return StatusReporter(Ledger(tmp_path), RunName("heron"), ClusterId("heron-1"))


def driver(folder: Path, text: str) -> Driver:
    place = ProcessContext(
        home=folder, run=RunName("heron"), cluster=ClusterId("heron-1"), logs=folder
    )
    return Driver(JobSpec(argv=(sys.executable, "-c", text), workdir=str(folder)), place)


def run_to_its_end(one: Driver) -> None:
    one.start(dict(os.environ))
    wait_until(lambda: one.poll(""), 30, "the program has ended")


def test_moments_of_a_process_add_up(reporter: StatusReporter) -> None:
    reporter.time("head", started_at=1.0)
    reporter.time("head", imported_at=2.0)
    assert reporter.view.times == {"head": ProcessTimes(started_at=1.0, imported_at=2.0)}


def test_only_the_first_processes_are_timed(reporter: StatusReporter) -> None:
    for number in range(MAX_TIMED + 2):
        reporter.time(f"worker-{number}", started_at=1.0)
    reporter.time("worker-0", ready_at=2.0)
    assert len(reporter.view.times) == MAX_TIMED
    assert reporter.view.times["worker-0"].ready_at == 2.0


def test_first_output_of_a_program_is_noted_with_its_time(tmp_path: Path) -> None:
    one, before = driver(tmp_path, "print('fine')"), wall_s()
    run_to_its_end(one)
    job = one.view
    assert job.first_output_at is not None
    assert job.ended_at is not None
    assert before - 1 < job.first_output_at <= job.ended_at


def test_what_an_earlier_attempt_printed_is_not_this_ones(tmp_path: Path) -> None:
    (tmp_path / "stdout.log").write_text("from before\n")
    one = driver(tmp_path, "pass")
    run_to_its_end(one)
    assert one.view.first_output_at is None


def test_start_of_a_process_is_known_while_it_lives() -> None:
    began_at = started_at(os.getpid())
    assert began_at is not None
    assert 0 < began_at <= wall_s()
    assert started_at(2**22 + 1) is None
