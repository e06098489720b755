"""A backup of an installation at work, restored into a fresh home."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.prefect_server import server
from tests.helpers import end_marked_processes
from tests.stack.prefect import EBB, Stack
from tests.stack.test_up import ebb

NONE = {"framework": "none"}


@pytest.fixture(scope="module")
def ended(stack: Stack) -> str:
    id_ = stack.start("run-job/run-job", program="quick.py", cluster=NONE)
    stack.ended(id_)
    return str(stack.run_of(id_)["name"])


@pytest.fixture(scope="module")
def folder(stack: Stack, ended: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup, made while a run went on."""
    where = tmp_path_factory.mktemp("backups") / "one"
    go = where.with_name("go")
    id_ = stack.start("run-job/run-job", program="waits.py", arguments=str(go), cluster=NONE)
    stack.has_started(id_)
    ebb(stack, "backup", str(where))
    go.touch()
    assert stack.ended(id_)["state"]["name"] == "Completed"
    return where


@pytest.fixture(scope="module")
def restored(stack: Stack, folder: Path) -> Iterator[Stack]:
    """A fresh home, made of it."""
    home = folder.with_name("home")
    other = Stack(home, stack.place, {**stack.environment, "EBB_HOME": str(home)})
    ebb(other, "restore", str(folder))
    yield other
    server.stop(home)
    end_marked_processes(home)


def test_backup_is_for_its_owner_only(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not list(folder.rglob("*.sock"))


def test_ps_why_logs_and_cost_know_the_runs(restored: Stack, ended: str) -> None:
    runs = {run["run"]: run for run in json.loads(ebb(restored, "ps", "-a", "--json"))}
    assert runs[ended]["phase"] == "Succeeded"
    assert "it succeeded" in ebb(restored, "why", ended)
    assert ebb(restored, "logs", ended) == "quick\n"
    assert json.loads(ebb(restored, "cost", ended, "--json"))["run"] == ended


def test_run_that_went_on_is_lost_and_holds_nothing(restored: Stack) -> None:
    runs = json.loads(ebb(restored, "ps", "-a", "--json"))
    lost = [run for run in runs if run["reason"] == "INFRA:FLOW_LOST"]
    assert [run["why"] for run in lost] == ["it was going on when the backup was made"]
    assert json.loads(ebb(restored, "held", "--json"))["orphans"] == []


def test_prefect_knows_its_flow_runs(restored: Stack, ended: str) -> None:
    info = server.ensure(restored.home, deadline_s=180, idle_s=600)
    words = ["flow-run", "ls", "--limit", "200"]
    done = subprocess.run(
        [str(Path(EBB[0]).with_name("prefect")), *words],
        env={**restored.environment, **server.client_environment(info), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended in done.stdout


def refused(home: Path, *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [*EBB, *words, "--json"],
        env={**os.environ, "EBB_HOME": str(home)},
        stdout=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 64
    found: dict[str, Any] = json.loads(done.stdout)["error"]
    return found


def test_restore_into_an_installation_that_lives_is_refused(stack: Stack, folder: Path) -> None:
    assert "ebb up (pid" in refused(stack.home, "restore", str(folder), "--overwrite")["summary"]


def test_home_that_is_not_empty_is_moved_aside_and_only_when_told(
    folder: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "mine").write_text("mine")
    assert "is not empty" in refused(home, "restore", str(folder))["summary"]
    done = subprocess.run(
        [*EBB, "restore", str(folder), "--overwrite"],
        env={**os.environ, "EBB_HOME": str(home)},
        check=False,
    )
    assert done.returncode == 0
    (aside,) = tmp_path.glob("home.before-restore-*")
    assert (aside / "mine").read_text() == "mine"
    assert (home / "ledger.sqlite").is_file()


def test_half_a_backup_is_none(folder: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / "ledger.sqlite").write_bytes((folder / "ledger.sqlite").read_bytes())
    assert "is no backup" in refused(tmp_path / "home", "restore", str(half))["summary"]


def test_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert "is not empty" in refused(tmp_path / "home", "backup", str(tmp_path))["summary"]
