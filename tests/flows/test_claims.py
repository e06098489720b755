"""Of several who want the same thing done, one has the job. Without Prefect."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ebbtide.infra.errors import JobError
from ebbtide.infra.lifecycle import claims
from ebbtide.infra.lifecycle.claims import claim
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.api_server import InMemoryApi, Server

KEY = "retrain/orders/7"
HOUR_S = 3600.0


@pytest.fixture
def ledger(ebb_home: Path) -> Ledger:
    return Ledger(ebb_home)


def ask(home: Path, *, window_s: float = HOUR_S) -> str | None:
    request = RunRequest(argv=("true",), options={"framework": "none"})
    settings = Settings(home=home)
    return claim(settings, request, key=KEY, window_s=window_s, flow_run_id="one")


def first_run(ledger: Ledger) -> str:
    row = ledger.row("SELECT name FROM runs ORDER BY rowid")
    assert row is not None
    return str(row["name"])


def count(ledger: Ledger) -> int:
    return len(ledger.rows("SELECT 1 FROM runs"))


def test_of_many_at_once_one_has_the_job(ebb_home: Path, ledger: Ledger) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ask(ebb_home), range(6)))
    assert answers.count(None) == 1
    assert set(answers) == {None, f"already being done by run {first_run(ledger)}"}


def test_of_many_machines_at_once_one_has_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server()

    def store_of(settings: Settings) -> KubernetesStore:
        return KubernetesStore(InMemoryApi(server), Ledger(settings.home))

    monkeypatch.setattr(claims, "open_store", store_of)
    homes = [tmp_path / str(number) for number in range(4)]
    with ThreadPoolExecutor(len(homes)) as pool:
        answers = list(pool.map(ask, homes))
    (run,) = store_of(Settings(home=tmp_path)).runs()
    assert answers.count(None) == 1
    assert set(answers) == {None, f"already being done by run {run.name}"}


def test_what_was_done_within_the_window_is_not_done_again(ebb_home: Path, ledger: Ledger) -> None:
    ask(ebb_home)
    runs.end(ledger, RunName(first_run(ledger)), None, 0)
    assert ask(ebb_home) == f"done already by run {first_run(ledger)}"


def test_after_the_window_it_is_done_again(ebb_home: Path, ledger: Ledger) -> None:
    ask(ebb_home)
    runs.end(ledger, RunName(first_run(ledger)), None, 0)
    assert ask(ebb_home, window_s=0) is None
    assert count(ledger) == 2


def test_what_failed_is_done_again(ebb_home: Path, ledger: Ledger) -> None:
    ask(ebb_home)
    runs.end(ledger, RunName(first_run(ledger)), JobError(Reason.EXIT_CODE), 1)
    assert ask(ebb_home) is None
    assert count(ledger) == 2


def test_a_run_whose_flow_has_died_is_taken_over(ebb_home: Path, ledger: Ledger) -> None:
    ask(ebb_home)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ledger.update_run(RunName(first_run(ledger)), flow_pid=gone.pid)
    assert ask(ebb_home) is None
    (row,) = ledger.rows("SELECT flow_pid FROM runs")
    assert row["flow_pid"] == os.getpid()
