"""The machine fails: a full disk, a lost ledger, a killed guard, a flow that comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.files.cuts import cut_of
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import JobSpec, Limits, RunSpec
from ebbtide.infra.models.phases import ExitCode
from tests.faults.stage import ITS_CODE, RUN, Stage
from tests.helpers import stop_outside_locks

DISK_BYTES = 8 * 2**20


@pytest.fixture
def small_disk(stage: Stage) -> Iterator[Stage]:
    """The installation on a file system of its own that is soon full."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={DISK_BYTES},mode=700",
        "ebb-test",
        str(stage.home),
    ]
    subprocess.run(mount, check=True)
    yield stage
    subprocess.run(["umount", "--lazy", str(stage.home)], check=True)


def fill(home: Path) -> None:
    with (home / "filler").open("wb", buffering=0) as file:
        for size in (65536, 512, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def why(stage: Stage) -> str:
    """What was recorded of the program's end."""
    rows = stage.rows("SELECT data FROM events WHERE kind = 'step_failed'")
    return " ".join(str(row["data"]) for row in rows)


def test_full_disk_while_the_program_runs(small_disk: Stage) -> None:
    stage = small_disk
    flow = stage.start(stage.spec("dask"))
    stage.wait_for_program()
    fill(stage.home)
    stage.let_program_end()
    stage.wait_for_end(flow)
    stage.wait_for_nothing(stage.census.on_machine)
    assert stage.starts() == 1
    assert f"the disk is full: {stage.home}" in why(stage)
    assert [row["released_at"] is not None for row in stage.clusters()] == [True]


def test_full_disk_when_the_flow_is_killed(small_disk: Stage) -> None:
    stage = small_disk
    flow = stage.start(stage.spec("dask"))
    stage.wait_for_program()
    fill(stage.home)
    flow.kill()
    flow.wait()
    stage.wait_for_nothing()


def test_disk_that_is_full_from_the_beginning_makes_nothing(small_disk: Stage) -> None:
    stage = small_disk
    fill(stage.home)
    flow = stage.start(stage.spec())
    assert stage.wait_for_end(flow) != ExitCode.OK
    stage.wait_for_nothing(stage.census.on_machine)
    assert stage.starts() == 0


def test_ledger_that_is_lost_is_written_again_by_those_who_live(stage: Stage) -> None:
    flow = stage.start(stage.spec())
    stage.wait_for_program()
    for part in ("", "-wal", "-shm"):
        path = Path(f"{stage.home / 'ledger.sqlite'}{part}")
        path.unlink(missing_ok=True)
    (stage.home / "ledger.sqlite").write_bytes(b"this is no database" * 500)
    stage.let_program_end()
    assert stage.wait_for_end(flow) == ITS_CODE
    stage.wait_for_nothing()
    assert stage.starts() == 1
    assert list(stage.home.glob("ledger.corrupt-*.sqlite")), "moved aside, not deleted"


@pytest.mark.parametrize("framework", ["none", "dask"])
def test_kill_9_of_the_guard(stage: Stage, framework: str) -> None:
    """The supervisor goes on and releases; what the guard would have caught, the sweep finds."""
    flow = stage.start(stage.spec(framework))
    stage.wait_for_program()
    for pid in stage.pids("guard"):
        os.kill(pid, signal.SIGKILL)
    stage.let_program_end()
    assert stage.wait_for_end(flow) == ITS_CODE
    stage.wait_for_nothing()
    assert stage.starts() == 1


def test_kill_9_of_everybody_who_cares_is_released_by_the_next_command(stage: Stage) -> None:
    flow = stage.start(stage.spec("dask"))
    stage.wait_for_program()
    for pid in stage.pids("guard", "supervisor"):
        os.kill(pid, signal.SIGKILL)
    flow.kill()
    flow.wait()
    held = stage.popen([stage.ebb, "held"])
    assert stage.wait_for_end(held) == 1, "an orphan is said to be one"
    assert stage.wait_for_end(stage.popen([stage.ebb, "held", "--release"])) == ExitCode.OK
    stage.wait_for_nothing()


def test_flow_that_comes_back_within_the_lease_adopts_its_cluster(stage: Stage) -> None:
    spec = stage.spec("none")
    flow = stage.start(spec)
    stage.wait_for_program()
    flow.kill()
    flow.wait()
    again = stage.start(spec)
    stage.let_program_end()
    assert stage.wait_for_end(again) == ITS_CODE
    stage.wait_for_nothing()
    assert (len(stage.clusters()), stage.starts()) == (1, 1)


def test_supervisor_that_hangs_is_released_all_the_same(stage: Stage) -> None:
    flow = stage.start(stage.spec("none"))
    stage.wait_for_program()
    (pid,) = stage.pids("supervisor")
    stop_outside_locks(pid)
    stage.wait_for_end(stage.popen([stage.ebb, "stop", RUN]))
    stage.wait_for_end(flow)
    stage.wait_for_nothing()


@pytest.fixture
def disk_of_the_home(stage: Stage) -> Iterator[Stage]:
    """A file system of its own with room for a while: what is spared of it is 6 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    mount = [
        "mount",
        "-t",
        "tmpfs",
        "-o",
        f"size={16 * DISK_BYTES},mode=700",
        "ebb-test",
        str(stage.home),
    ]
    subprocess.run(mount, check=True)
    yield stage
    subprocess.run(["umount", "--lazy", str(stage.home)], check=True)


def flood(stage: Stage, name: str) -> RunSpec:
    """A run that prints four times what the disk has, and goes on when it cannot."""
    program = stage.work / f"{name}.py"
    program.write_text(
        "import os, time\n"
        f"for number in range({4 * 16 * DISK_BYTES // 2**20 * 4}):\n"
        "    try:\n"
        "        os.write(1, (b'x' * 1023 + b'\\n') * 256)\n"
        "    except OSError:\n"
        "        pass\n"
        "    time.sleep(0.005)\n"
    )
    job = JobSpec(argv=(sys.executable, str(program)), workdir=str(stage.work))
    return replace(stage.spec(), name=RunName(name), job=job, limits=Limits(max_output_bytes=None))


def test_output_that_fills_the_disk_is_cut_and_others_go_on(disk_of_the_home: Stage) -> None:
    stage = disk_of_the_home
    neighbour = stage.start(stage.spec())
    stage.wait_for_program()
    assert stage.wait_for_end(stage.start(flood(stage, "flood"))) == ExitCode.OK
    words = [row["message"] for row in stage.rows("SELECT message FROM events WHERE run = 'flood'")]
    assert [each for each in words if "the disk is full" in each]
    cut = cut_of(stage.home / "runs" / "flood" / "stdout.log")
    assert cut is not None
    disk = os.statvfs(stage.home)
    assert disk.f_bavail * disk.f_frsize > 2**20, "there is room again"
    later = stage.start(replace(stage.spec("none", "0"), name=RunName("later")))
    stage.let_program_end()
    assert stage.wait_for_end(neighbour) == ITS_CODE
    assert stage.wait_for_end(later) == ExitCode.OK
    stage.wait_for_nothing()


def test_full_disk_is_said_and_the_next_run_works_when_there_is_room(small_disk: Stage) -> None:
    stage = small_disk
    with stage.ledger() as ledger:
        ledger.rows("SELECT 1")
    fill(stage.home)
    first = stage.popen(
        [stage.ebb, "run", "--framework", "none", "--name", "first", "--", "true"],
        {"EBB_PREFECT_SERVER": "off"}, stderr=subprocess.PIPE, cwd=stage.work,
    )  # fmt: skip
    _, errors = first.communicate(timeout=60)
    assert first.returncode == ExitCode.TEMPORARY
    assert b"INFRA:LEDGER_UNWRITABLE" in errors
    assert b"free some disk space" in errors
    stage.wait_for_nothing(stage.census.on_machine)
    (stage.home / "filler").unlink()
    stage.let_program_end()
    assert stage.wait_for_end(stage.start(stage.spec())) == ITS_CODE
    stage.wait_for_nothing()
