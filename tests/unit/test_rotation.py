"""Logs that others hold open are cut, and what they say goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ebbtide.infra.files.rotation import rotate

FLOOD = """
import sys
for number in range(60_000):
    print(f"line {number:06}", flush=True)
"""


def test_short_log_is_left(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("short")
    assert not rotate(log, most_bytes=5)
    assert log.read_text() == "short"


def test_two_old_ones_are_kept_and_the_file_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as writer:
        for number in range(4):
            writer.write(b"%d" % number * 10)
            assert rotate(log, most_bytes=5)
        writer.write(b"on")
    assert log.read_text() == "on"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    assert (tmp_path / "log.1").read_text() == "3" * 10


def test_process_that_floods_loses_hardly_a_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab") as out:
        process = subprocess.Popen([sys.executable, "-c", FLOOD], stdout=out)
    while process.poll() is None:
        rotate(log, most_bytes=2**17, kept=50)
    text = "".join(path.read_text() for path in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) > 3
    lines = [line for line in text.splitlines() if line.startswith("line ") and len(line) == 11]
    assert len(lines) > 59_500
    assert "line 059999" in lines, "the last word is never lost"
