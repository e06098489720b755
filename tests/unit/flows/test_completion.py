"""What a shell is told to complete, and that bash does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem, ShellComplete

from ebbtide.flows.cli.commands import EBB
from ebbtide.flows.cli.main import main
from ebbtide.flows.cli.parsing.shells import ASKED, Bash, Fish, Zsh, rejoined
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.ledger import Ledger


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with one run, in a folder with an ebb.yaml."""
    monkeypatch.setenv("EBB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ebb.yaml").write_text(
        "tiers: {huge: {cpu: 1, memory: 1Gi}, tiny: {cpu: 1, memory: 1Gi}}\n"
    )
    return tmp_path


@pytest.fixture
def history(here: Path) -> None:
    (here / "home").mkdir(mode=0o700)
    Ledger(here / "home").reserve(Run(name=RunName("copper-heron"), spec_json="{}"))


def items(before: list[str], begun: str) -> list[CompletionItem[str]]:
    return Bash(EBB, {}, "ebb", ASKED).get_completions(before, begun)


def candidates(before: list[str], begun: str) -> list[str]:
    """The words that are told; a file or folder is the shell's to complete."""
    return [item.value for item in items(before, begun) if item.type == "plain"]


@pytest.mark.parametrize(
    ("before", "begun", "expected"),
    [
        ([], "do", ["down", "doctor"]),
        ([], "--v", ["--version"]),
        (["ps"], "--wa", ["--watch"]),
        (["ps"], "--js", ["--json"]),
        (["run"], "--work", ["--workers", "--workdir"]),
        (["run", "--tier"], "", ["huge", "tiny"]),
        (["run", "--tier"], "huge,", ["huge,tiny"]),
        (["run"], "--tier=h", ["huge"]),
        (["run", "--framework"], "sp", ["spark"]),
        (["nodes", "--pool"], "lo", ["local"]),
        (["run", "--plan", "-o"], "", ["yaml"]),
        (["doctor", "--platform"], "k", ["kubernetes"]),
        (["cost", "--by"], "d", ["day"]),
        (["run"], "he", ["hello"]),
        (["run", "train.py"], "", []),
        (["run", "--", "a"], "--wor", []),
        (["config"], "s", ["show", "schema"]),
        (["config", "show"], "--work", ["--workers", "--workdir"]),
        (["completion"], "f", ["fish"]),
        (["nonsense"], "", []),
    ],
)
def test_what_may_follow(before: list[str], begun: str, expected: list[str]) -> None:
    assert candidates(before, begun) == expected


@pytest.mark.parametrize(
    ("before", "begun", "kind"),
    [(["run"], "tr", "file"), (["run", "--workdir"], "", "dir"), (["restore"], "", "dir")],
)
def test_files_and_folders_are_left_to_the_shell(before: list[str], begun: str, kind: str) -> None:
    assert [item.type for item in items(before, begun)] == [kind]


def test_an_option_is_told_with_its_help() -> None:
    (found,) = items(["ps"], "--watch")
    assert found.help == "print again whenever something changes"


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


@pytest.mark.parametrize("shell", [Zsh, Fish])
@pytest.mark.parametrize(
    ("begun", "expected"),
    [("--tier=h", ["--tier=huge"]), ("h", []), ("--tie", ["--tier"])],
)
def test_shell_that_replaces_whole_words_is_told_whole_words(
    shell: type[ShellComplete], begun: str, expected: list[str]
) -> None:
    found = shell(EBB, {}, "ebb", ASKED).get_completions(["run", "a.py"], begun)
    assert [item.value for item in found if item.type == "plain"] == expected


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        (["run", "--tier", "=", "h"], ["run", "--tier=h"]),
        (["run", "--tier", "="], ["run", "--tier="]),
        (["run", "--env", "A", "=", "1", ""], ["run", "--env", "A=1", ""]),
    ],
)
def test_words_that_bash_has_cut_are_whole_again(cut: list[str], whole: list[str]) -> None:
    assert rejoined(cut) == whole


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert f"{ASKED}={shell}_complete" in capsys.readouterr().out


def test_another_shell_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fsh"]) == 64
    assert "fish" in capsys.readouterr().err


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("ebb logs co", "copper-heron"),
        ("ebb run --tier = h", "huge"),
        ("ebb run hello --tier =", "huge tiny"),
    ],
)
def test_bash_completes(words: str, expected: str) -> None:
    number = len(words.split()) - 1
    typed = f"COMP_WORDS=({words}); COMP_CWORD={number}; _ebb_completion ebb"
    script = f'eval "$(ebb completion bash)"; {typed}; echo "${{COMPREPLY[@]}}"'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"{expected}\n", "")
