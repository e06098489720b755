"""What commands make of their lines, and what their help says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ebbtide.flows.cli.commands import COMMANDS, EBB, ROOMS, help_of
from ebbtide.flows.cli.main import main
from ebbtide.flows.cli.parsing.command import Command, Group
from ebbtide.infra.models.phases import ExitCode

Ebb = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def ebb(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ebb:
    monkeypatch.setenv("EBB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(line: str) -> tuple[int, str, str]:
        code = main(line.split())
        return (code, *capsys.readouterr())

    return call


def commands() -> dict[str, Command]:
    """All commands by name, those below another one too."""
    found: dict[str, Command] = {}
    with EBB.make_context("ebb", ["ps"], resilient_parsing=True) as ctx:
        for name in COMMANDS:
            command = EBB.get_command(ctx, name)
            below = command.commands if isinstance(command, Group) else {"": command}
            found |= {f"{name} {key}".strip(): each for key, each in below.items()}  # type: ignore[misc]
    return found


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ps --al", "there is no option --al\n      fix   did you mean --all?"),
        ("ps --nothing-like-it", "there is no option --nothing-like-it\n      fix   see ebb ps"),
        ("ps --all=yes", "--all takes no value\n      fix   write --all alone"),
        ("ps heron", "'heron' is one word too many\n      fix   see ebb ps --help"),
        ("logs", "RUN is missing"),
        ("logs heron --tail", "--tail needs a value\n      fix   print only the last N lines"),
        ("logs heron --tail ten", "--tail: 'ten' is not a valid integer"),
        ("cost --by tires", "--by: 'tires' is not one of"),
        ("cost --by tires", "did you mean tier?"),
        ("config shwo", "there is no command 'config shwo'\n      fix   did you mean ebb config s"),
        ("hold", "there is no command 'hold'\n      fix   did you mean ebb held?"),
        ("--jsn ps", "there is no option --jsn"),
    ],
)
def test_a_mistake_is_told_with_what_to_write(ebb: Ebb, line: str, told: str) -> None:
    code, out, said = ebb(line)
    assert (code, out) == (ExitCode.MISCONFIGURATION, "")
    assert told in said


def test_all_mistakes_of_a_line_are_told_at_once(ebb: Ebb) -> None:
    said = ebb("cost --by tires --sicne 3d one two --all")[2]
    assert [line for line in said.splitlines() if "✗" in line] == [
        "  ✗ there is no option --sicne",
        "  ✗ there is no option --all",
        "  ✗ --by: 'tires' is not one of 'day', 'tier', 'job', 'tag'",
        "  ✗ 'two' is one word too many",
    ]


def test_an_option_that_is_misspelt_is_not_missing_as_well(ebb: Ebb) -> None:
    said = ebb("emit dataset.updated --resorce shop")[2]
    assert "did you mean --resource?" in said
    assert "missing" not in said


def test_underscores_in_an_option_are_as_good_as_dashes(ebb: Ebb) -> None:
    assert "--older-than: " in ebb("prune --older_than soon")[2]


@pytest.mark.parametrize("line", ["", "help", "-h", "--help"])
def test_help_lists_all_commands_below_their_titles(ebb: Ebb, line: str) -> None:
    code, out, _ = ebb(line)
    assert code == ExitCode.OK
    assert all(f"\n{title}:\n" in out for title in ROOMS.values())
    assert all(f"\n  {name} " in out for name in COMMANDS)
    assert "\n  EBB_HOME " in out


@pytest.mark.parametrize("line", ["help ps", "ps -h", "ps --wrong --help"])
def test_help_of_a_command_is_reached_in_every_way(ebb: Ebb, line: str) -> None:
    assert ebb(line) == (ExitCode.OK, f"{help_of('ps')}\n", "")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_breaks_no_option_in_two(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    broken = [line for line in help_of(name).splitlines() if line.endswith("-")]
    assert broken == []


def test_a_command_that_has_commands_shows_its_help(ebb: Ebb) -> None:
    assert ebb("config") == (ExitCode.OK, f"{help_of('config')}\n", "")


def test_what_nobody_owns_is_released_by_commands_that_change_things() -> None:
    changing = {name for name, each in commands().items() if each.preparation.changes}
    assert changing == {"run", "stop", "up", "down", "prune"}


def test_the_kubernetes_used_last_is_not_meant_by_commands_that_begin_something() -> None:
    beginning = {name for name, each in commands().items() if not each.preparation.remembered}
    assert beginning == {"run", "up", "init"}


def test_no_command_is_loaded_before_it_is_asked_for() -> None:
    program = (
        "import sys; from ebbtide.flows.cli.main import main; main(['--help']);"
        "sys.exit('ebbtide.flows.cli.runs.ps' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0
