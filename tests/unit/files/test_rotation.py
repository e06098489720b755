"""Logs that others hold open are cut, and what they say goes on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from ebbtide.infra.files.rotation import rotate

FLOOD = """
import sys
for number in range(60_000):
    print(f"line {number:06}", flush=True)
"""


def test_short_log_is_left(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("short")
    assert not rotate(log, max_bytes=5)
    assert log.read_text() == "short"


def test_two_old_ones_are_kept_and_the_file_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as writer:
        for number in range(4):
            writer.write(b"%d" % number * 10)
            assert rotate(log, max_bytes=5)
        writer.write(b"on")
    assert log.read_text() == "on"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert (tmp_path / "log.1").read_text() == "3" * 10


def test_what_is_written_while_the_copy_is_made_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log"
    log.write_text("early\n")
    copy = shutil.copyfileobj

    def copy_slowly(source: IO[bytes], target: IO[bytes]) -> None:
        copy(source, target)
        with log.open("a") as writer:
            writer.write("late\n")

    monkeypatch.setattr(shutil, "copyfileobj", copy_slowly)
    assert rotate(log, max_bytes=1)
    assert (tmp_path / "log.1").read_text() == "early\nlate\n"
    assert log.read_text() == ""


def test_process_that_floods_goes_on_in_the_same_file(tmp_path: Path) -> None:
    """How many lines it loses is up to the machine: those between the last look and the cut."""
    log = tmp_path / "log"
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-c", FLOOD], stdout=out)
    while process.poll() is None:
        rotate(log, max_bytes=2**17, kept=50)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) > 3
    lines = [line for line in text.splitlines() if line.startswith("line ") and len(line) == 11]
    assert len(lines) == len(set(lines)), "none is there twice"
    assert len(lines) > 30_000
