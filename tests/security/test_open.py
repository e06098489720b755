"""``ebb open`` where there is no browser, and where there is nothing to open."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.infra.models.phases import ExitCode
from tests.clusters import Stand, carried_out, cluster_spec, run_spec, script, standing

Ebb = Callable[[str], tuple[int, str, str]]
BROWSERS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


@pytest.fixture
def ebb(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ebb:
    """On a machine without a browser."""
    for name in BROWSERS:
        monkeypatch.delenv(name, raising=False)

    def call(words: str) -> tuple[int, str, str]:
        code = main(words.split())
        return (code, *capsys.readouterr())

    return call


def test_without_a_browser_it_says_what_to_type_and_where_it_stands(
    ebb_home: Path, ebb: Ebb, monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(ebb_home, run_spec("opened", cluster_spec()), autoscale=False) as stand:
        file = says_where(stand, ebb("open opened"))
        code, out, _ = ebb("open opened --json")
        found = json.loads(out)
        assert (code, found["opened"], found["password_file"]) == (0, False, str(file))
        monkeypatch.setenv("BROWSER", os.devnull)
        assert says_where(stand, ebb("open opened --print")) == file
    code, _, err = ebb("open opened")
    assert code == ExitCode.MISCONFIGURATION
    assert "the cluster of opened is gone, and it has kept nothing to open" in err
    assert "ebb logs opened --list, ebb cost opened" in err


def says_where(stand: Stand, said: tuple[int, str, str]) -> Path:
    """Gives the file that holds the password."""
    code, out, _ = said
    file = stand.home / "clusters" / stand.attempt.cluster / "secrets" / "dashboard.secret"
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()] == [
        stand.view.dashboard,
        "ebb",
        str(file),
    ]
    assert file.read_text() not in out
    return file


def test_plain_program_has_no_dashboard(ebb_home: Path, tmp_path: Path, ebb: Ebb) -> None:
    carried_out(ebb_home, run_spec("plain", cluster_spec("none"), script(tmp_path, "print(1)")))
    code, _, err = ebb("open plain")
    assert code == ExitCode.MISCONFIGURATION
    assert "NO_DASHBOARD" in err


def test_without_a_run_and_without_a_server_it_says_what_starts_one(
    ebb_home: Path, ebb: Ebb
) -> None:
    code, _, err = ebb("open")
    assert code == ExitCode.MISCONFIGURATION
    assert "no Prefect server of this installation runs" in err
    assert "ebb up" in err
