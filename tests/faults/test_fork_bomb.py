"""A program that forks without end ends its own run, with a reason, and no other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import JobSpec, Limits
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import tree
from tests.faults.stage import ITS_CODE, RUN, Stage
from tests.helpers import wait_until

ALLOWED = 200
MOST_FORKS, LIFE_S = 1500, 60.0
"""What keeps this test from ending the machine when the product does not end the bomb."""
COMMAND = "a-bomb-of-a-test"

BOMB = f"""
import os, sys, time
end = time.monotonic() + {LIFE_S}
while time.monotonic() < end:
    with open("forks", "ab") as file:
        file.write(b".")
        count = file.tell()
    if count >= {MOST_FORKS} and sys.argv[2] != "chain":
        time.sleep(0.1)
    elif os.fork():
        if sys.argv[2] == "chain" and count > 50:
            os._exit(0)
    elif sys.argv[2] == "session":
        os.setsid()
"""
"""Each process forks, and so do its children; also into sessions of their own, also by dying."""


def bomb(stage: Stage, how: str, allowed: int | None = ALLOWED) -> subprocess.Popen[bytes]:
    spec = stage.spec()
    program = stage.work / "bomb.py"
    program.write_text(BOMB)
    job = JobSpec(argv=(sys.executable, str(program), COMMAND, how), workdir=str(stage.work))
    return stage.start(
        replace(spec, name=RunName("bomb"), job=job, limits=Limits(max_processes=allowed))
    )


def bombs() -> list[int]:
    """Living processes of the bomb, found by their command line and by nothing of ours."""
    found = []
    for pid, process in tree.table().items():
        command = Path(f"/proc/{pid}/cmdline")
        try:
            if not process.gone and COMMAND.encode() in command.read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("how", ["group", "session"])
def test_bomb_ends_its_own_run_and_no_other(stage: Stage, how: str) -> None:
    neighbour = stage.start(stage.spec())
    stage.wait_for_program()
    assert stage.wait_for_end(bomb(stage, how)) == 1
    row = stage.run_row("bomb")
    assert row["reason"] == Reason.TOO_MANY_PROCESSES
    assert f" processes, {ALLOWED} allowed; --max-processes" in row["detail"]
    assert bombs() == []
    assert neighbour.poll() is None
    stage.let_program_end()
    assert stage.wait_for_end(neighbour) == ITS_CODE
    stage.wait_for_nothing()
    assert [row["attempt"] for row in stage.clusters()] == [1, 1], "neither was tried again"


@pytest.mark.parametrize("how", ["group", "session", "chain"])
def test_release_wins_against_a_bomb_that_is_allowed(stage: Stage, how: str) -> None:
    flow = bomb(stage, how, allowed=None)
    forks = stage.work / "forks"
    wait_until(lambda: forks.exists() and forks.stat().st_size > 300, 60, "it forks")
    stage.wait_for_end(stage.popen([stage.ebb, "stop", "bomb"]))
    stage.wait_for_end(flow)
    stage.wait_for_nothing()
    assert bombs() == []


@pytest.mark.parametrize("how", ["group", "session"])
def test_guard_wins_against_a_bomb_when_the_supervisor_is_killed(stage: Stage, how: str) -> None:
    flow = bomb(stage, how, allowed=None)
    forks = stage.work / "forks"
    wait_until(lambda: forks.exists() and forks.stat().st_size > 300, 60, "it forks")
    for pid in stage.pids("supervisor"):
        os.kill(pid, signal.SIGKILL)
    stage.let_program_end()
    flow.kill()
    flow.wait()
    stage.wait_for_nothing(stage.census.on_machine)
    assert bombs() == []


def test_processes_of_workers_count_too(stage: Stage) -> None:
    """Head, worker and program of the smallest cluster are more than two."""
    spec = stage.spec("dask")
    flow = stage.start(replace(spec, limits=Limits(max_processes=2)))
    assert stage.wait_for_end(flow) == 1
    assert stage.run_row(RUN)["reason"] == Reason.TOO_MANY_PROCESSES
    stage.wait_for_nothing()
