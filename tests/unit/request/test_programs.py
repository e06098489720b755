"""What would keep a program from starting is found before anything is made."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.program.check import check_program, check_workdir

Check = Callable[..., tuple[tuple[str, ...], list[Problem]]]


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder that is the whole PATH, with one command in it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "prepare").write_text("#!/bin/sh\n")
    (folder / "prepare").chmod(0o755)
    return folder


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "steps").mkdir(parents=True)
    (folder / "train.py").write_text("raise SystemExit('it must not be executed')\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def check(commands: Path, workdir: Path) -> Check:
    def check_words(*argv: str) -> tuple[tuple[str, ...], list[Problem]]:
        return check_program(argv, workdir, search_path=str(commands))

    return check_words


def only(problems: Sequence[Problem]) -> tuple[str, str]:
    assert [problem.reason for problem in problems] == [Reason.PROGRAM_INVALID]
    return problems[0].summary, problems[0].hint


def test_a_file_runs_under_the_python_of_ebb(check: Check) -> None:
    argv, problems = check("train.py", "--epochs", "3")
    assert (argv, problems) == ((sys.executable, "train.py", "--epochs", "3"), [])


def test_python_is_the_one_of_the_shell(check: Check, commands: Path) -> None:
    (commands / "python").symlink_to(sys.executable)
    argv, problems = check("python", "train.py")
    assert (argv, problems) == ((str(commands / "python"), "train.py"), [])


@pytest.mark.parametrize("word", ["python", "python3"])
def test_python_is_the_one_of_ebb_where_the_shell_has_none(check: Check, word: str) -> None:
    argv, problems = check(word, "-u", "train.py")
    assert (argv, problems) == ((sys.executable, "-u", "train.py"), [])


def test_a_command_is_found_on_path(check: Check, commands: Path) -> None:
    argv, problems = check("prepare", "--all")
    assert (argv, problems) == ((str(commands / "prepare"), "--all"), [])


def test_a_command_by_its_path_is_relative_to_the_workdir(check: Check, workdir: Path) -> None:
    (workdir / "run.sh").chmod(0o755)
    assert check("./run.sh") == (("./run.sh",), [])


@pytest.mark.parametrize(
    ("argv", "summary", "hint"),
    [
        ([], "there is no program to run", "ebb run -- python train.py"),
        (["trian.py"], "trian.py does not exist", "did you mean train.py?"),
        (["python", "trian.py"], "trian.py does not exist", "did you mean train.py?"),
        (["python", "-W", "error", "-uX", "dev", "trian.py"], "trian.py does not exist",
         "did you mean train.py?"),
        (["./trian.py"], "./trian.py does not exist", "did you mean ./train.py?"),
        (["stps/train.py"], "stps/train.py does not exist", "there is no folder "),
        (["train.py/x.py"], "train.py/x.py does not exist", "there is no folder "),
        (["zzz.py"], "zzz.py does not exist", "looked in "),
        (["python", "steps"], "steps is a folder, not a program", "name a .py file in it"),
        (["steps"], "steps is a folder, not a program", "name a .py file in it"),
        (["./steps"], "./steps is a folder, not a program", "name a file in it"),
        (["prepar"], "the command prepar was not found on PATH", "did you mean prepare?"),
        (["train.yp"], "the command train.yp was not found on PATH", "did you mean train.py?"),
        (["run.sh"], "the command run.sh was not found on PATH",
         "write ./run.sh for the file in the workdir"),
        (["./run.sh"], "./run.sh is not executable", "chmod +x ./run.sh"),
        (["./rum.sh"], "./rum.sh does not exist", "did you mean ./run.sh?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_what_cannot_be_found(check: Check, argv: list[str], summary: str, hint: str) -> None:
    _, problems = check(*argv)
    said, hinted = only(problems)
    assert said == summary
    assert hinted.startswith(hint)


def test_a_folder_named_like_a_file_is_refused(check: Check, workdir: Path) -> None:
    (workdir / "job.py").mkdir()
    assert only(check("job.py")[1])[0] == "job.py is a folder, not a program"


@pytest.mark.parametrize(
    ("source", "summary", "hint"),
    [
        (b"x = 1\nprint('a'\n", "has a syntax error at line 2, column 6: '(' was never closed",
         "look at: print('a'"),
        (b"if 1:\nx = 1\n", "has a syntax error at line 2, column 1: expected an indented block",
         "look at: x = 1"),
        (b"x = 1\n# caf\xe9\n", "is not UTF-8 (byte 11, line 2)", "save it as UTF-8"),
        (b"# coding: ascii\n# caf\xc3\xa9\n", "is not ascii (byte 21, line 2)", "save it as UTF-8"),
        ("x = 1\n".encode("utf-16"), "is not UTF-8 (byte 0, line 1)", "save it as UTF-8"),
        (b"# coding: klingon\n", "unknown encoding: klingon", ""),
        (b"x = 1\x00\n", "null bytes", ""),
        (b"return 1\n", "'return' outside function", "look at: return 1"),
    ],
    ids=["open bracket", "indentation", "latin-1", "coding line", "utf-16", "unknown coding",
         "null byte", "return"],
)  # fmt: skip
@pytest.mark.parametrize("argv", [["bad.py"], ["python3", "bad.py"]], ids=["file", "python"])
def test_what_python_cannot_read(
    check: Check, workdir: Path, argv: list[str], source: bytes, summary: str, hint: str
) -> None:
    (workdir / "bad.py").write_bytes(source)
    said, hinted = only(check(*argv)[1])
    assert said.startswith("bad.py ")
    assert summary in said
    assert hinted.startswith(hint)


@pytest.mark.parametrize(
    "source",
    [
        "# ünï\n".encode(),
        "\ufeffx = 1\n".encode(),
        b"#!/usr/bin/python\n# -*- coding: latin-1 -*-\nx = '\xe9'\n",
        b"x = '\\d'\n",
        b"",
    ],
    ids=["utf-8", "byte order mark", "coding line", "only a warning", "empty"],
)
def test_what_python_can_read(check: Check, workdir: Path, source: bytes) -> None:
    (workdir / "good.py").write_bytes(source)
    assert check("good.py")[1] == []


@pytest.mark.parametrize(
    "argv", [["-c", "1"], ["-m", "trian.py"], ["-uc", "1"], ["-"], [], ["-V"]], ids=" ".join
)
def test_python_without_a_script_has_nothing_to_check(check: Check, argv: list[str]) -> None:
    assert check("python", *argv)[1] == []


def test_a_pipe_is_left_for_the_program_to_read(check: Check, workdir: Path) -> None:
    os.mkfifo(workdir / "pipe.py")
    assert check("pipe.py")[1] == []


def test_a_folder_with_a_main_module_is_a_program(check: Check, workdir: Path) -> None:
    (workdir / "steps" / "__main__.py").touch()
    assert check("python", "steps")[1] == []


@pytest.mark.parametrize("code", [0, 1], ids=["accepts", "refuses"])
def test_another_python_is_asked_about_its_own_syntax(
    check: Check, commands: Path, workdir: Path, code: int
) -> None:
    (commands / "python").write_text(f"#!/bin/sh\nexit {code}\n")
    (commands / "python").chmod(0o755)
    (workdir / "newer.py").write_text("syntax of tomorrow\n")
    assert len(check("python", "newer.py")[1]) == code


def test_a_file_that_may_not_be_read(
    check: Check, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root, as which CI runs, may read everything
    assert only(check("train.py")[1])[0] == "'train.py' cannot be read: Permission denied"


def test_a_file_name_that_no_system_takes(check: Check) -> None:
    assert only(check("a" * 300 + ".py")[1])[0].endswith("cannot be read: File name too long")


@pytest.mark.parametrize(
    ("name", "summary", "hint"),
    [
        ("wokr", "does not exist", "did you mean work?"),
        ("work/train.py", "is not a folder", "name the folder it is in"),
        ("a/b", "does not exist", "there is no folder "),
    ],
    ids=["missing", "a file", "deep"],
)
def test_a_bad_workdir(workdir: Path, name: str, summary: str, hint: str) -> None:
    said, hinted = only(check_workdir(workdir.parent / name))
    assert summary in said
    assert hinted.startswith(hint)


def test_a_bad_workdir_is_the_only_problem(tmp_path: Path) -> None:
    assert len(check_program(["missing.py"], tmp_path / "gone")[1]) == 1
