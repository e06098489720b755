"""What is found in a run's folder, and by which name it is opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.files.cuts import Cut, make_cut
from ebbtide.infra.files.kept import KeptKind
from ebbtide.infra.platforms.run_folder import kept_files, log_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run, also with what is ours alone."""
    for name, text in {
        "stdout.log": "out", "stderr.log": "", "worker-0.log": "w", "spec.json": "{}",
        "programs/train/stdout.log": "t", "programs/train/output/model": "m",
        "artifacts/worker-0/raylet.out": "raylet",
        "artifacts/head/empty": "", "artifacts/head/.crc": "x",
        "output/_SUCCESS": "", "output/parts/0": "0", "open-x/dashboard.secret": "secret",
    }.items():  # fmt: skip
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "run"


def test_everything_is_listed_but_what_is_ours_and_empty_or_hidden_artifacts(folder: Path) -> None:
    assert {file.name: file.kind for file in kept_files(folder)} == {
        "stdout": KeptKind.PROGRAM,
        "stderr": KeptKind.PROGRAM,
        "worker-0": KeptKind.LOG,
        "output/_SUCCESS": KeptKind.OUTPUT,
        "output/parts/0": KeptKind.OUTPUT,
        "train/stdout": KeptKind.PROGRAM,
        "train/output/model": KeptKind.OUTPUT,
        "worker-0/raylet.out": KeptKind.ARTIFACT,
    }


def test_every_listed_name_opens_its_file(folder: Path) -> None:
    for file in kept_files(folder):
        assert log_files(folder, file.name) == {"text": file.path}


def test_a_link_is_not_followed_and_a_pipe_is_no_file(folder: Path, tmp_path: Path) -> None:
    before = kept_files(folder)
    (folder / "artifacts" / "head" / "passwd.log").symlink_to("/etc/passwd")
    (folder / "artifacts" / "all").symlink_to(tmp_path)
    os.mkfifo(folder / "artifacts" / "head" / "pipe")
    assert kept_files(folder) == before


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "worker-0/../../spec.json"])
def test_nothing_else_is_opened(folder: Path, name: str) -> None:
    with pytest.raises(ConfigurationError):
        log_files(folder, name)


def test_an_unknown_name_is_answered_with_the_nearest_or_with_what_there_is(folder: Path) -> None:
    assert hint(folder, "worker-0/raylet.txt") == "did you mean worker-0/raylet.out?"
    assert hint(folder, "??") == "there are job, train, stdout, stderr, worker-0"


def hint(folder: Path, name: str) -> str:
    with pytest.raises(ConfigurationError) as refused:
        log_files(folder, name)
    return refused.value.problems[0].hint


def test_what_was_cut_out_does_not_count(folder: Path) -> None:
    log = folder / "stdout.log"
    log.write_bytes(bytes(2**20))
    assert make_cut(log, Cut(2**16, 2**19))
    (file,) = [file for file in kept_files(folder) if file.name == "stdout"]
    assert file.bytes_ == 2**19 + 2**16
