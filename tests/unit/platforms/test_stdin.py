"""Handing the standard input of one process to another: the open file, or the end of one."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.models.cluster import JobView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.local.processes import ProcessContext
from ebbtide.infra.platforms.local.supervisor.driver.stdin import ProgramStdin
from ebbtide.infra.platforms.upkeep import stdin
from ebbtide.infra.platforms.upkeep.stdin import handed_over


class Told:
    """Stands for the supervisor's reporter."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def event(self, _kind: object, message: str, **_: Any) -> None:
        self.messages.append(message)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run; its path is longer than that of a socket may be."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "data").write_bytes(b"0123456789")
    opened = os.open(tmp_path / "data", os.O_RDONLY)
    yield opened
    os.close(opened)


def program(folder: Path, told: Told) -> ProgramStdin:
    name = RunName("run")
    place = ProcessContext(home=folder, run=name, cluster=ClusterId("run-1"), logs=folder)
    return ProgramStdin(place, told)  # type: ignore[arg-type]


def read(folder: Path, told: Told, size: int = 100) -> bytes:
    with program(folder, told).opened() as taken:
        return os.read(taken, size)


def test_the_file_itself_is_handed_over(folder: Path, told: Told, file: int) -> None:
    os.lseek(file, 3, os.SEEK_SET)
    with handed_over(folder, file):
        assert read(folder, told, 2) == b"34"
    assert os.read(file, 100) == b"56789", "what was not read is still there"


def test_where_nobody_hands_it_over_there_is_nothing_to_read(folder: Path, told: Told) -> None:
    with program(folder, told).opened() as taken:
        assert taken == subprocess.DEVNULL
    assert told.messages == []


def test_after_the_block_nothing_is_handed_over(folder: Path, told: Told, file: int) -> None:
    with handed_over(folder, file):
        pass
    with program(folder, told).opened() as taken:
        assert taken == subprocess.DEVNULL
    assert [path.name for path in folder.iterdir()] == []


def test_the_door_is_for_this_user_only(folder: Path, file: int) -> None:
    with handed_over(folder, file):
        assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


def test_a_fresh_attempt_reads_a_file_from_its_beginning(
    folder: Path, told: Told, file: int
) -> None:
    os.lseek(file, 2, os.SEEK_SET)
    with handed_over(folder, file):
        assert read(folder, told, 4) == b"2345"
        assert read(folder, told) == b"23456789"
    assert told.messages == []


def test_a_fresh_attempt_is_told_that_what_was_read_of_a_pipe_is_gone(
    folder: Path, told: Told
) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"0123")
    with handed_over(folder, ours):
        assert read(folder, told, 2) == b"01"
        assert told.messages == []
        assert read(folder, told, 2) == b"23"
    assert told.messages == ["what the attempt before has read of stdin is gone: this one reads on"]
    os.close(ours)
    os.close(theirs)


def test_a_process_that_does_not_answer_is_not_waited_for_ever(
    folder: Path, told: Told, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that was stopped by Ctrl-Z."""
    monkeypatch.setattr(stdin, "_ANSWER_TIMEOUT_S", 0.1)
    over = threading.Event()
    monkeypatch.setattr(stdin, "_hand_over", lambda *_: over.wait(10))
    with handed_over(folder, file):
        with program(folder, told).opened() as taken:
            assert taken == subprocess.DEVNULL
        over.set()
    assert told.messages == [
        "the program has no stdin: the process that passes it on did not answer"
    ]


@pytest.mark.parametrize(
    ("said", "code", "hinted"),
    [
        (b"Traceback\nEOFError: EOF when reading a line\n", 1, True),
        (b"Traceback\nValueError: 3\n", 1, False),
        (b"EOFError: caught\n", 0, False),
        (b"", 1, False),
    ],
)
def test_a_program_that_failed_at_the_end_of_its_stdin_gets_a_hint(
    folder: Path, told: Told, said: bytes, code: int, hinted: bool
) -> None:
    (folder / "stderr.log").write_bytes(said)
    assert bool(program(folder, told).hint(JobView(exit_code=code))) is hinted


def test_a_program_that_was_given_a_stdin_gets_none(folder: Path, told: Told, file: int) -> None:
    (folder / "stderr.log").write_text("EOFError: EOF when reading a line\n")
    with handed_over(folder, file):
        found = program(folder, told)
        with found.opened():
            pass
    assert found.hint(JobView(exit_code=1)) == ""
