"""What a shell is told to complete, and that bash does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide.flows.cli.installation.completion import candidates
from ebbtide.flows.cli.main import main
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.ledger import Ledger


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one run, in a folder with an ebb.yaml."""
    monkeypatch.setenv("EBB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ebb.yaml").write_text("tiers: {huge: {cpu: 1, memory: 1Gi}}\n")
    return tmp_path


@pytest.fixture
def history(here: Path) -> None:
    (here / "home").mkdir(mode=0o700)
    Ledger(here / "home").reserve(Run(name=RunName("copper-heron"), spec_json="{}"))


@pytest.mark.parametrize(
    ("before", "begun", "expected"),
    [
        ([], "do", ["down", "doctor"]),
        (["ps"], "--wa", ["--watch"]),
        (["ps"], "--js", ["--json"]),
        (["run"], "--work", ["--workers", "--workdir"]),
        (["run", "--tier"], "", ["huge"]),
        (["run", "--tier", "="], "h", ["huge"]),
        (["run", "--tier"], "=", ["huge"]),
        (["run", "--framework"], "sp", ["spark"]),
        (["doctor", "--platform"], "k", ["kubernetes"]),
        (["cost", "--by"], "d", ["day"]),
        (["run"], "he", ["hello"]),
        (["run", "train.py"], "", []),
        (["run", "--", "a"], "--wor", []),
        (["config"], "s", ["show", "schema"]),
        (["nonsense"], "", []),
    ],
)
def test_what_may_follow(before: list[str], begun: str, expected: list[str]) -> None:
    assert candidates(before, begun) == expected


@pytest.mark.usefixtures("history")
def test_names_of_runs_follow_where_one_is_wanted() -> None:
    assert candidates(["logs"], "co") == ["copper-heron"]
    assert candidates(["logs", "-f"], "") == ["copper-heron"]
    assert candidates(["logs", "copper-heron"], "") == []


@pytest.mark.usefixtures("history")
def test_names_of_runs_elsewhere_are_known_without_asking(here: Path) -> None:
    (here / "home" / "elsewhere").mkdir()
    (here / "home" / "elsewhere" / "swift-otter").touch()
    assert candidates(["why"], "") == ["copper-heron", "swift-otter"]


def test_completing_makes_no_home(here: Path) -> None:
    assert candidates(["logs"], "") == []
    assert not (here / "home").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "ebb completion --word" in capsys.readouterr().out


def test_another_shell_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fsh"]) == 64
    assert "fish" in capsys.readouterr().err


@pytest.mark.usefixtures("history")
def test_bash_completes_the_name_of_a_run() -> None:
    typed = 'COMP_WORDS=(ebb logs co); COMP_CWORD=2; _ebb; echo "${COMPREPLY[@]}"'
    script = f'eval "$(ebb completion bash)"; {typed}'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=True,
    )
    assert done.stdout == "copper-heron\n"
