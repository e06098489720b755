"""All that Ebb makes is for its user only; what the program makes has its caller's umask."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server import server
from ebbtide.infra.files.private import OURS
from ebbtide.infra.installation import keeping, rounds
from ebbtide.infra.settings import Settings
from tests.helpers import marked_processes, wait_until
from tests.stack.prefect import EBB, ROOT

PROGRAM = """
import os, pathlib, sys
made = [pathlib.Path("mine"), pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "mine")]
for place in made:
    place.touch()
    place.with_name("mine.d").mkdir()
"""
ON_WORKER = """
import pathlib
from distributed import Client
Client().submit(lambda: pathlib.Path("by-worker").touch()).result()
"""
FROM_PYTHON = """
import os, sys
from ebbtide import run
assert run("program.py", framework="none").succeeded
print(oct(os.umask(0)))
"""


@pytest.fixture
def home(ebb_home: Path) -> Iterator[Path]:
    """Not made yet, below one that the test may clear away; its Prefect server ends with it."""
    home = ebb_home / "home"
    yield home
    server.stop(home)
    wait_until(lambda: not marked_processes(home), 20, "the Prefect server has ended")


def run(home: Path, place: Path, *argv: str, umask: int, prefect: bool = False) -> str:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")},
        "EBB_HOME": str(home),
        "EBB_PREFECT_SERVER": "on" if prefect else "off",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        argv, cwd=place, env=environment, umask=umask, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def open_to_others(home: Path) -> list[str]:
    """What somebody else may look at, of all that is there; the program's own things left out."""
    found = []
    for folder, folders, files in os.walk(home):
        for path in (Path(folder, name) for name in (".", *folders, *files)):
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode) or path.name.startswith("mine"):
                continue
            wanted = 0o700 if stat.S_ISDIR(mode) else 0o600
            if stat.S_IMODE(mode) != wanted:
                found.append(f"{stat.S_IMODE(mode):03o} {path.relative_to(home)}")
    return found


def modes(*paths: Path) -> list[str]:
    return [f"{stat.S_IMODE(path.stat().st_mode):03o}" for path in paths]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, "644", "755"), (0o027, "640", "750"), (0, "666", "777")]
)
def test_after_a_run(home: Path, tmp_path: Path, umask: int, file: str, folder: str) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    words = ("run", "--name", "one", "--framework", "none", "program.py")
    run(home, tmp_path, *EBB, *words, umask=umask, prefect=umask == 0)
    assert (home / "ledger.sqlite").exists()
    assert open_to_others(home) == []
    output = home / "runs" / "one" / "output"
    assert modes(tmp_path / "mine", output / "mine") == [file, file]
    assert modes(tmp_path / "mine.d", output / "mine.d") == [folder, folder]


def test_tasks_on_workers_have_the_callers_umask(home: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(ON_WORKER)
    run(home, tmp_path, *EBB, "run", "--workers", "1", "program.py", umask=0o027)
    assert modes(tmp_path / "by-worker") == ["640"]
    assert open_to_others(home) == []


def test_from_python_the_users_process_keeps_its_umask(home: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    said = run(home, tmp_path, sys.executable, "-c", FROM_PYTHON, umask=0o027)
    assert said.split()[-1] == "0o27"
    assert open_to_others(home) == []
    assert modes(tmp_path / "mine") == ["640"]


def test_a_program_that_runs_ebb_has_its_own_umask_noted(home: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    inner = f"{EBB[0]} run --framework none program.py"
    (tmp_path / "outer.sh").write_text(f"#!/bin/sh\numask 037\n{inner}\n")
    (tmp_path / "outer.sh").chmod(0o755)
    run(home, tmp_path, *EBB, "run", "--framework", "none", "--", "./outer.sh", umask=0o022)
    assert modes(tmp_path / "mine") == ["640"]


def test_a_home_holds_only_what_is_known_as_ours(home: Path, tmp_path: Path) -> None:
    """Else a home that somebody opened is refused instead of closed: add the name to ``OURS``."""
    (tmp_path / "program.py").write_text(PROGRAM)
    run(home, tmp_path, *EBB, "run", "--framework", "none", "program.py", umask=0o022)
    rounds.note(Settings(home=home))  # as the reaper does, and what it does once an hour
    assert keeping.keep_to_limits(Settings(home=home), every_s=3600.0) == ""
    assert (home / "prune.lock").exists()
    names = [path.name for path in home.iterdir()]
    assert [name for name in names if not any(fnmatch(name, ours) for ours in OURS)] == []
