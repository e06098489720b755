"""Programs beside each other on a cluster that is held: once each, and gone with the cluster."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ebbtide.infra.errors import JobError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import marks
from tests.clusters import Stand, cluster_spec, run_spec, script, standing
from tests.helpers import wait_until

PROGRAM = """
    import pathlib, sys, threading
    with open("starts", "a") as file:
        file.write(sys.argv[1] + " ")
    threading.Event().wait(float(sys.argv[2]))
    sys.exit(int(sys.argv[3]))
    """


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return script(tmp_path, PROGRAM)


def job(program: Path, *words: str) -> JobSpec:
    return JobSpec(argv=(sys.executable, str(program), *words), workdir=str(program.parent))


def drivers(stand: Stand) -> int:
    found = marks.marked(stand.home, stand.attempt.cluster)
    return sum(process.role == "driver" for process in found)


def test_a_program_is_run_once_for_each_name(ebb_home: Path, program: Path) -> None:
    with standing(ebb_home, run_spec("held", cluster_spec("none"))) as stand:
        for name in ("one", "one", "two"):
            steps.run_program(stand.attempt, name, job(program, name, "0", "0"))
    assert (program.parent / "starts").read_text().split() == ["one", "two"]


def test_a_program_that_leaves_tasks_behind_is_told(ebb_home: Path, tmp_path: Path) -> None:
    """By what the hook in it has noted; there is none without a framework, so it notes itself."""
    text = """
        import json, os, pathlib
        notes = f"../notes-{os.environ['EBB_CLUSTER']}.jsonl"
        line = json.dumps({"kind": "unfinished", "count": 2, "wait": "ray.get(refs)"})
        pathlib.Path(os.environ["EBB_OUTPUT_DIR"], notes).write_text(line)
        """
    with standing(ebb_home, run_spec("held", cluster_spec("none"))) as stand:
        steps.run_program(stand.attempt, "one", job(script(tmp_path, text)))
        (told,) = wait_until(lambda: stand.messages("warning"), 20, "it is told")
    assert told.startswith("program one: the program ended while 2 tasks were pending or running")


def test_a_program_that_fails_is_an_error_with_its_exit_code(ebb_home: Path, program: Path) -> None:
    with standing(ebb_home, run_spec("held", cluster_spec("none"))) as stand:
        with pytest.raises(JobError) as error:
            steps.run_program(stand.attempt, "bad", job(program, "bad", "0", "3"))
        assert (error.value.reason, error.value.exit_code) == (Reason.EXIT_CODE, 3)
        assert stand.observe().failure is None, "the cluster is still good for others"


def test_a_program_that_is_stopped_leaves_the_others_and_the_cluster(
    ebb_home: Path, program: Path
) -> None:
    with standing(ebb_home, run_spec("held", cluster_spec("none"))) as stand:
        for name in ("one", "two"):
            stand.attempt.platform.start_program(
                stand.attempt.cluster, name, job(program, name, "60", "0")
            )
        wait_until(lambda: drivers(stand) == 2, 20, "both run")
        stand.attempt.platform.stop_program(stand.attempt.cluster, "one")
        wait_until(lambda: drivers(stand) == 1, 20, "one has ended")
        wait_until(lambda: stand.observe().programs["one"].ended_at, 20, "the supervisor says so")
        assert stand.observe().programs["one"].reason is Reason.CANCELLED
        assert stand.observe().programs["two"].ended_at is None


def test_programs_are_gone_with_their_cluster(ebb_home: Path, program: Path) -> None:
    with standing(ebb_home, run_spec("held", cluster_spec("none"))) as stand:
        asked = job(program, "one", "60", "0")
        stand.attempt.platform.start_program(stand.attempt.cluster, "one", asked)
        wait_until(lambda: drivers(stand) == 1, 20, "it runs")
    assert stand.attempt.platform.held(stand.attempt.cluster) == []
