"""Whoever reads the output of ``ebb run`` has enough: ``ebb run … | head``."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

import pytest

from ebbtide.infra.models.phases import ExitCode, Phase, Reason
from tests.faults.stage import RUN, Stage

PROGRAM = "import itertools\nfor number in itertools.count():\n    print(number, flush=True)\n"


@pytest.mark.parametrize("what", ["stdout", "stdout and stderr"])
def test_reader_that_has_enough_ends_the_run_like_a_program_in_a_pipe(
    stage: Stage, prefect_environment: Mapping[str, str], what: str
) -> None:
    stage.work.joinpath("count.py").write_text(PROGRAM)
    argv = [stage.ebb, "run", "--framework", "none", "--name", RUN, "count.py"]
    both = subprocess.STDOUT if what == "stdout and stderr" else subprocess.DEVNULL
    ends = {"cwd": stage.work, "stdout": subprocess.PIPE, "stderr": both}
    process = stage.popen(argv, prefect_environment, **ends)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert stage.wait_for_end(process) == ExitCode.READER_GONE
    run = stage.run_row()
    assert (run["phase"], run["reason"]) == (Phase.CANCELLED, Reason.READER_GONE)
    stage.wait_for_nothing()
