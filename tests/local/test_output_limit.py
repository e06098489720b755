"""``--max-output`` from end to end: the terminal shows all, the run's folder keeps some."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide.infra.files.cuts import cut_of
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.job import JobSpec, Limits
from ebbtide.infra.settings import Settings
from tests.clusters import carried_out, cluster_spec, run_spec, script, standing

MIB = 2**20
LINES = 600_000
FLOOD = f"""
    import sys
    for number in range({LINES}):
        sys.stdout.write(f"{{number:019}}\\n")
    sys.stdout.flush()
    print("the end", file=sys.stderr)
    """
"""12 MB, as fast as Python prints."""


def kept_bytes(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*.log"))


@pytest.fixture
def ebb(ebb_home: Path, tmp_path: Path) -> list[str]:
    script(tmp_path, FLOOD)
    return [str(Path(sys.executable).with_name("ebb"))]


def test_terminal_shows_all_and_the_folder_keeps_the_limit(
    ebb: list[str], ebb_home: Path, tmp_path: Path
) -> None:
    options = ["--framework", "none", "--name", "flood", "--max-output", "1Mi"]
    environment = {**os.environ, "EBB_PREFECT_SERVER": "off"}
    done = subprocess.run(
        [*ebb, "run", *options, "program.py"],
        cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    errors = done.stderr.decode()
    assert done.returncode == 0, errors
    assert done.stdout == b"".join(b"%019d\n" % number for number in range(LINES))
    assert errors.count("more than --max-output 1 MiB") == 1
    assert "the end" in errors
    folder = Settings(home=ebb_home).run_folder("flood")
    assert (folder / "stdout.log").stat().st_size == 20 * LINES
    assert kept_bytes(folder) <= MIB + 2**15  # a block more for each log
    logs = subprocess.run([*ebb, "logs", "flood"], capture_output=True, check=True).stdout
    first, *_, last = logs.decode().splitlines()
    assert (int(first), int(last)) == (0, LINES - 1)
    assert logs.count(b"cut here: --max-output 1 MiB") == 1
    assert b"\0" not in logs
    tail = subprocess.run([*ebb, "logs", "flood", "--tail", "1"], capture_output=True, check=True)
    assert tail.stdout == b"%019d\n" % (LINES - 1)


def test_output_without_a_limit_is_kept_to_the_byte(ebb_home: Path, tmp_path: Path) -> None:
    program = script(tmp_path, FLOOD)
    limits = Limits(max_output_bytes=None)
    outcome = carried_out(ebb_home, run_spec("all", cluster_spec("none"), program, limits=limits))
    assert (outcome.folder / "stdout.log").stat().st_size == 20 * LINES
    assert cut_of(outcome.folder / "stdout.log") is None
    assert outcome.messages("note") == []


def test_programs_of_a_held_cluster_share_its_limit(ebb_home: Path, tmp_path: Path) -> None:
    program = script(tmp_path, FLOOD)
    job = JobSpec(argv=(sys.executable, str(program)), workdir=str(tmp_path))
    spec = run_spec("held", cluster_spec("none"), limits=Limits(max_output_bytes=MIB))
    with standing(ebb_home, spec) as stand:
        for name in ("one", "two"):
            steps.run_program(stand.attempt, name, job)
    folder = Settings(home=ebb_home).run_folder("held")
    assert kept_bytes(folder) <= MIB + 2**16
    assert cut_of(folder / "programs" / "one" / "stdout.log") is not None
