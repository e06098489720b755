"""A program in its pod that waits until it is told to begin, and is given what it reads."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebbtide.infra.platforms.kubernetes.tending.programs.begin import Beginning
from tests.helpers import wait_until
from tests.unit.platforms.kubernetes.here import Exec, Pod

READS = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
CLOSES = "import os, sys; print(sys.stdin.readline()); os.close(0); import time; time.sleep(0.5)"
LARGE = os.urandom(3_000_000)

Tell = Callable[[int | None], Beginning]


@pytest.fixture
def tell(pod: Pod) -> Iterator[Tell]:
    begun: list[Beginning] = []

    def begin(file: int | None) -> Beginning:
        begun.append(Beginning(pod.run, "driver", file))
        return begun[-1]

    yield begin
    for each in begun:
        each.stop()


@pytest.fixture
def large(tmp_path: Path) -> int:
    (tmp_path / "large").write_bytes(LARGE)
    return os.open(tmp_path / "large", os.O_RDONLY)


def test_program_begins_when_it_is_told_to(pod: Pod, tell: Tell) -> None:
    wrapper = pod.python(READS, told_to_begin=True)
    with pytest.raises(subprocess.TimeoutExpired):
        wrapper.wait(0.5)
    tell(None)
    assert wrapper.communicate(timeout=20)[0] == b""


def test_program_reads_what_is_passed_on_to_the_end(pod: Pod, tell: Tell, large: int) -> None:
    wrapper = pod.python(READS, told_to_begin=True)
    tell(large)
    assert wrapper.communicate(timeout=20)[0] == LARGE


def test_nothing_is_lost_or_repeated_when_the_connection_breaks(
    pod: Pod, tell: Tell, large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = 0

    def breaks(relay: Exec, timeout_s: float) -> bytes | None:
        nonlocal answers
        answers += 1
        found = read(relay, timeout_s)
        return None if answers % 10 == 0 else found

    read = Exec.read
    monkeypatch.setattr(Exec, "read", breaks)
    monkeypatch.setattr(Exec, "errors", "it was cut")
    wrapper = pod.python(READS, told_to_begin=True)
    tell(large)
    assert wrapper.communicate(timeout=20)[0] == LARGE
    assert answers > 20


def test_a_program_that_closes_its_stdin_is_given_no_more(pod: Pod, tell: Tell) -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"first\n")
    wrapper = pod.python(CLOSES, told_to_begin=True)
    tell(ours)
    assert wrapper.communicate(timeout=20)[0] == b"first\n\n"
    os.close(theirs)


def test_a_program_that_is_stopped_before_it_was_told_never_begins(pod: Pod) -> None:
    wrapper = pod.python("print('began')", told_to_begin=True)
    entrance = pod.folder / "log" / "entrance"

    wait_until(entrance.exists, 10, "it waits")
    wrapper.terminate()
    out, errors = wrapper.communicate(timeout=20)
    assert (out, wrapper.returncode) == (b"", 143)
    assert b"it was told to end before" in errors
