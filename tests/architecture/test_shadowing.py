"""The console script works in a folder that has packages with names of ours or of what we need."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest

import ebbtide.__main__ as door
from tests.architecture.sources import PACKAGES

EBB = Path(sys.executable).with_name("ebb")
MINE = "this is the user's own package"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose own packages fail when somebody imports them: ours, and what we need."""
    for package in (*PACKAGES, "yaml"):
        own = tmp_path / package
        own.mkdir()
        (own / "__init__.py").write_text(f"raise RuntimeError({MINE!r})\n")
    return tmp_path


@pytest.mark.parametrize("python_path", [None, ".", "", "absolute", f".{os.pathsep}elsewhere"])
def test_ebb_starts_beside_packages_of_the_same_name(folder: Path, python_path: str | None) -> None:
    done = _run(folder, str(folder) if python_path == "absolute" else python_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_these_packages_would_be_taken_without_the_entry_module(folder: Path) -> None:
    command = [sys.executable, "-c", "import yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert MINE in done.stderr, "else the tests above prove nothing"


def test_the_entry_does_not_obey_what_is_meant_for_the_programs_warnings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command_line = SimpleNamespace(main=lambda: warnings.warn("of ours", stacklevel=1))
    monkeypatch.setattr(door, "importlib", SimpleNamespace(import_module=lambda _: command_line))
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert door.main() == 0


def test_the_entry_takes_the_users_folders_off_the_path_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    command_line = SimpleNamespace(main=lambda: seen.extend(sys.path))
    loader = SimpleNamespace(import_module=lambda _: command_line)
    monkeypatch.setattr(door, "importlib", loader)
    monkeypatch.chdir(folder)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([".", "/elsewhere", site.getsitepackages()[0]])
    )
    ours = list(sys.path)
    monkeypatch.setattr(sys, "path", ["", str(folder), "/elsewhere", *ours])
    assert door.main() == 0
    assert seen == [path for path in ours if path]
    assert os.environ["PYTHONPATH"].startswith("."), "it is meant for the user's program"


def _run(folder: Path, python_path: str | None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if python_path is not None:
        environ["PYTHONPATH"] = python_path
    return subprocess.run(
        [EBB, "--version"], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
