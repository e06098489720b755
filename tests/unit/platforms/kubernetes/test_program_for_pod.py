"""A program's command line as it is in a pod."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.platforms.kubernetes.shipping.program import (
    Translated,
    session_import_path,
    translate,
)

PYTHON = "/opt/ebb/venv/bin/python"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "project"
    (made / "scripts").mkdir(parents=True)
    (made / "scripts" / "train.py").write_text("")
    (made / "data.csv").write_text("")
    (tmp_path / "other.csv").write_text("")
    (made / "tool").write_text("#!/bin/sh")
    return made


def translated(root: Path, *argv: str, **env: str) -> Translated:
    return translate(JobSpec(argv=argv, workdir=str(root), env=env), root)


def test_interpreter_is_the_images(root: Path) -> None:
    for python in (sys.executable, "/elsewhere/venv/bin/python3.11"):
        found = translated(root, python, "scripts/train.py")
        assert found.job.argv == (PYTHON, "scripts/train.py")
        assert found.job.workdir == "/run/ebb/code"


def test_workers_import_what_lies_beside_the_program(root: Path) -> None:
    found = translated(root, sys.executable, "scripts/train.py")
    assert found.import_path == ("/run/ebb/code", "/run/ebb/code/scripts")
    assert found.script == "scripts/train.py"


def test_absolute_paths_of_the_folder_are_those_in_the_pod(root: Path) -> None:
    found = translated(
        root, sys.executable, f"{root}/scripts/train.py", f"--data={root}/data.csv", f"{root}/new"
    )
    assert found.job.argv[1:] == (
        "/run/ebb/code/scripts/train.py",
        "--data=/run/ebb/code/data.csv",
        "/run/ebb/code/new",
    )
    assert found.problems == ()


def test_script_outside_of_the_folder_is_a_problem_with_its_alternatives(root: Path) -> None:
    (root.parent / "other.py").write_text("")
    for word in ("../other.py", str(root.parent / "other.py")):
        (problem,) = translated(root, sys.executable, word).problems
        assert "outside" in problem.summary
        assert "--workdir" in problem.hint


@pytest.mark.parametrize("word", ["../other.csv", "--data=../other.csv"])
def test_file_outside_of_the_folder_is_a_problem(root: Path, word: str) -> None:
    assert translated(root, sys.executable, "scripts/train.py", word).problems


@pytest.mark.parametrize("word", ["/tmp", "/etc/hosts", "/no/such/file", "..", "s3://b/x", "-3"])
def test_what_may_well_be_meant_for_the_pod_stays(root: Path, word: str) -> None:
    found = translated(root, sys.executable, "scripts/train.py", word)
    assert (found.job.argv[2], found.problems) == (word, ())


def test_source_on_the_command_line_stays_as_it_is(root: Path) -> None:
    source = f"open({str(root)!r})"
    assert translated(root, sys.executable, "-c", source).job.argv == (PYTHON, "-c", source)


def test_command_of_the_system_or_an_environment_is_the_images(root: Path) -> None:
    assert translated(root, "/bin/sh", "-c", "true").job.argv[0] == "sh"
    beside = str(Path(sys.executable).parent / "pytest")
    assert translated(root, beside, "-q").job.argv == ("pytest", "-q")


def test_program_of_the_folder_is_that_in_the_pod(root: Path) -> None:
    found = translated(root, "./tool")
    assert (found.job.argv[0], found.script) == ("/run/ebb/code/tool", "tool")


def test_python_path_that_is_added_is_translated(root: Path) -> None:
    found = translated(root, sys.executable, "scripts/train.py", PYTHONPATH=f"lib:{root}/scripts")
    assert found.job.env["PYTHONPATH"] == "/run/ebb/code/lib:/run/ebb/code/scripts"
    assert "/run/ebb/code/lib" in found.import_path


def test_workdir_below_the_folder_is_there_in_the_pod(root: Path) -> None:
    job = JobSpec(argv=(sys.executable, "train.py", "../data.csv"), workdir=str(root / "scripts"))
    found = translate(job, root)
    assert found.job.workdir == "/run/ebb/code/scripts"
    assert (found.job.argv[1:], found.problems) == (("train.py", "../data.csv"), ())


def test_workdir_outside_of_the_folder_is_a_problem(root: Path) -> None:
    assert translate(JobSpec(argv=("true",), workdir="/"), root).problems


def test_session_has_those_of_its_folders_that_are_sent(root: Path) -> None:
    inside, outside = session_import_path([str(root / "scripts"), "/elsewhere"], root)
    assert inside == ("/run/ebb/code", "/run/ebb/code/scripts")
    assert outside == ("/elsewhere",)
