"""What is checked of a program, what is left alone, and what is said where looking is refused."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import Problem
from ebbtide.infra.request.program.check import check_program, check_workdir, folder_of

Check = Callable[..., list[Problem]]


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder that is the whole PATH, with one command in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command(folder / "prepare")
    return folder


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").touch()
    return folder


@pytest.fixture
def check(commands: Path, workdir: Path) -> Check:
    def problems_of(*argv: str, path: str = str(commands)) -> list[Problem]:
        return check_program(argv, workdir, search_path=path)[1]

    return problems_of


def command(file: Path, text: str = "#!/bin/sh\n") -> None:
    file.write_text(text)
    file.chmod(0o755)


# Which words are looked at --------------------------------------------------------------------


@pytest.mark.parametrize("word", ["missing.py", "broken.py", "missing"])
def test_arguments_of_a_command_that_is_no_python_are_its_own(
    check: Check, workdir: Path, word: str
) -> None:
    (workdir / "broken.py").write_text("(")
    assert check("prepare", word) == []


def test_python_that_is_not_there_is_the_problem_and_not_its_script(check: Check) -> None:
    (problem,) = check("./python3", "trian.py")
    assert problem.summary == "./python3 does not exist"


@pytest.mark.parametrize(
    "flags",
    [
        ["-u"],
        ["-u", "-O"],
        ["-W", "error"],
        ["-Werror"],
        ["-X", "dev"],
        ["-Xdev"],
        ["-uW", "error"],
        ["--check-hash-based-pycs", "always"],
        ["--help-all"],
    ],
    ids=" ".join,
)
def test_script_is_found_behind_pythons_flags(check: Check, flags: list[str]) -> None:
    (problem,) = check("python", *flags, "trian.py")
    assert (problem.summary, problem.hint) == ("trian.py does not exist", "did you mean train.py?")


@pytest.mark.parametrize("flag", ["-W", "-X", "--check-hash-based-pycs"])
def test_flag_whose_argument_is_missing_is_left_to_python(check: Check, flag: str) -> None:
    assert check("python", flag) == []


def test_words_behind_the_script_are_its_own(check: Check) -> None:
    assert check("python", "train.py", "missing.py") == []


@pytest.mark.parametrize("name", ["app.pyz", "app.pyc", "app.zip", "app.whl"])
def test_what_is_no_source_is_left_alone(check: Check, workdir: Path, name: str) -> None:
    (workdir / name).write_bytes(b"\x00\xff(")
    assert check("python", name) == []


def test_archive_is_known_by_its_first_bytes(check: Check, workdir: Path) -> None:
    (workdir / "app").write_bytes(b"PK\x03\x04\xff")
    assert check("python", "app") == []


# What is proposed -----------------------------------------------------------------------------


def test_file_in_the_workdir_that_is_no_script_is_no_command(check: Check, workdir: Path) -> None:
    (workdir / "run.sh").touch()
    (problem,) = check("rum.sh")
    assert problem.hint.startswith("write a .py file or a command")


def test_folder_of_path_that_does_not_exist_is_passed_over(check: Check, commands: Path) -> None:
    (problem,) = check("prepar", path=f"/no/such/folder{os.pathsep}{commands}")
    assert problem.hint == "did you mean prepare?"


def test_folder_that_may_not_be_listed_proposes_nothing(
    check: Check, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Any) -> list[str]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr(os, "listdir", refuse)  # root, as which CI runs, may list everything
    (problem,) = check("trian.py")
    assert problem.hint == f"looked in {workdir}"


# The workdir ----------------------------------------------------------------------------------


def test_good_workdir_has_no_problem(workdir: Path) -> None:
    assert check_workdir(workdir) == []


def test_workdir_that_may_not_be_entered(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.X_OK)
    (problem,) = check_workdir(workdir)
    assert problem.summary == f"the workdir {workdir} may not be entered"


# Where in the file ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "place"),
    [(b"\xe9", "line 1"), (b"\n\xe9", "line 2"), (b"\n\n# \xe9\n\n", "line 3")],
)
def test_line_that_cannot_be_decoded_is_counted_from_one(
    check: Check, workdir: Path, source: bytes, place: str
) -> None:
    (workdir / "bad.py").write_bytes(source)
    (problem,) = check("bad.py")
    assert problem.summary.endswith(f"{place})")


def test_only_the_line_of_the_syntax_error_is_shown(check: Check, workdir: Path) -> None:
    (workdir / "bad.py").write_text("x = 1\n  \nreturn x\ny = 2\n")
    (problem,) = check("bad.py")
    assert problem.hint == "look at: return x"


# Another Python -------------------------------------------------------------------------------


def test_another_python_that_cannot_be_executed_accepts_nothing(
    check: Check, commands: Path, workdir: Path
) -> None:
    command(commands / "python3", "\x7fno program of this system")
    (workdir / "newer.py").write_text("syntax of tomorrow\n")
    assert len(check("python3", "newer.py")) == 1


def test_what_another_python_says_is_not_shown(
    check: Check, commands: Path, workdir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command(commands / "python3", "#!/bin/sh\necho out; echo err >&2; exit 1\n")
    (workdir / "newer.py").write_text("syntax of tomorrow\n")
    check("python3", "newer.py")
    assert capfd.readouterr() == ("", "")


def test_our_own_python_is_not_asked_twice(
    check: Check, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("subprocess.run", lambda *argv, **more: pytest.fail("it was asked"))
    (workdir / "bad.py").write_text("(")
    assert len(check("bad.py")) == 1


# The script's folder --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "folder"),
    [
        (("/jobs/train.py",), "/jobs"),
        (("/jobs/train.py", "/data/other.py"), "/jobs"),
        (("python", "/jobs/train.py"), "/jobs"),
        (("python", "-u", "/jobs/train.py"), None),
        (("train.py",), None),
        (("python", "jobs/train.py"), None),
        (("/usr/bin/make", "all"), None),
        ((), None),
    ],
)
def test_folder_is_that_of_a_script_with_an_absolute_path(
    argv: tuple[str, ...], folder: str | None
) -> None:
    assert folder_of(argv) == folder
