"""The README's transcript is what ``ebb run hello`` prints, apart from names and numbers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server import server

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
GREW = re.compile(r"workers (\d+) → (\d+)   CPU")


@pytest.fixture
def printed(ebb_home: Path, tmp_path: Path) -> Iterator[list[str]]:
    """What a newcomer sees, both streams in the order in which they came."""
    ebb = Path(sys.executable).with_name("ebb")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT")}
    done = subprocess.run(
        [ebb, "run", "hello"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    yield done.stdout.splitlines()
    server.stop(ebb_home)


def test_the_transcript_is_true(printed: list[str]) -> None:
    readme = (ROOT / "README.md").read_text()
    block = readme.split("$ ebb run hello\n")[1].split("```")[0]
    assert shape(printed) == shape(block.splitlines())
    steps = [(int(m[1]), int(m[2])) for line in printed if (m := GREW.search(line))]
    assert any(after > before for before, after in steps), "it grew"
    assert any(after < before for before, after in steps), "it shrank"
    (kept,) = [line for line in printed if line.endswith("results kept")]
    assert kept.split()[0] == kept.split()[2]


def shape(lines: list[str]) -> list[str]:
    """Without what differs each time: numbers, names, paths, how often it scaled."""
    found = []
    for line in lines:
        if re.match(r" +\d\d:\d\d  |more workers came", line):
            continue
        words = re.sub(r"^  In .*", "  In", line)
        words = re.sub(r"(run|logs|why|open) [a-z]+-[a-z]+", r"\1 NAME", words)
        words = re.sub(r"\b\d+m\d+s\b", "N", words)  # a busy machine takes minutes
        words = re.sub(r"[\d.]+( ?[smKMGTi]+B?\b)?", "N", words)
        words = words.replace("N worker ", "N workers ")  # as many as had not left yet
        found.append(re.sub(r" +", " ", words).rstrip())
    return found
