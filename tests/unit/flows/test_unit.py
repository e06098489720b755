"""The unit of systemd that ``ebb up --print-unit`` writes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.flows.service.unit import unit_of
from ebbtide.infra.settings import Settings

ARGUMENTS = ["--host", "$HOME 5%"]


def lines(home: Path, folder: Path, **environ: str) -> list[str]:
    return unit_of(Settings(home), folder, ARGUMENTS, environ).splitlines()


def test_unit_says_what_to_start_and_where(tmp_path: Path) -> None:
    found = lines(tmp_path / "home", tmp_path / "50% mine")
    assert f"WorkingDirectory={tmp_path}/50%% mine" in found
    assert f'Environment="EBB_HOME={tmp_path}/home"' in found
    start = f'ExecStart="{sys.executable}" "-m" "ebbtide" "up" "--host" "$$HOME 5%%"'
    assert start in found
    assert f'ExecStop="{sys.executable}" "-m" "ebbtide" "down"' in found


def test_unit_holds_no_secret_and_says_where_it_goes(tmp_path: Path) -> None:
    found = lines(tmp_path, tmp_path, PREFECT_API_KEY="sesame", JAVA_HOME='/a "b"')
    assert not [line for line in found if "sesame" in line]
    assert [line for line in found if line.startswith("# PREFECT_API_KEY may be a secret")]
    assert 'Environment="JAVA_HOME=/a \\"b\\""' in found


def test_unit_holds_no_password_of_an_address(tmp_path: Path) -> None:
    found = lines(tmp_path, tmp_path, PREFECT_API_URL="https://me:sesame@prefect.example/api")
    assert not [line for line in found if "sesame" in line]
    assert [line for line in found if line.startswith("# PREFECT_API_URL may be a secret")]


def test_unit_keeps_the_variables_of_options_but_those_that_may_hold_secrets(
    tmp_path: Path,
) -> None:
    found = lines(tmp_path, tmp_path, EBB_WORKERS="1..8", EBB_ENV="KEY=sesame", EBB_RUN="heron")
    assert 'Environment="EBB_WORKERS=1..8"' in found
    assert not [line for line in found if "sesame" in line or "heron" in line]
    assert [line for line in found if line.startswith("# EBB_ENV may be a secret")]


@pytest.mark.parametrize(("context", "kept"), [("prod", False), ("test", True)])
def test_unit_leaves_to_ebb_yaml_what_that_says(
    tmp_path: Path, context: str, *, kept: bool
) -> None:
    """So that a change of the file counts."""
    (tmp_path / "ebb.yaml").write_text("kubernetes: {context: prod}\n")
    found = lines(tmp_path, tmp_path, EBB_CONTEXT=context)
    assert (f'Environment="EBB_CONTEXT={context}"' in found) is kept


def test_print_unit_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("EBB_HOME", str(tmp_path / "home"))
    assert main(["up", "--limit", "2", "--print-unit"]) == 0
    assert '"up" "--limit" "2"\n' in capsys.readouterr().out
    assert not (tmp_path / "home").exists()
