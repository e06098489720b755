"""A job of a flow, where so many runs wait that no more may. Without Prefect."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import CapacityError
from ebbtide.infra.lifecycle.once import begin
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wall_s
from tests.helpers import wait_until

ONE_WAITS = "pools: {local: {runs-waiting: 1}}\ntiers: {small: {cpu: 250m, memory: 256Mi}}\n"


def job(home: Path, key: str, start_within: str) -> str:
    options = {"framework": "none", "start-within": start_within}
    ledger = Ledger(home)
    try:
        return begin(ledger, RunRequest(argv=("true",), options=options), key=key).name
    finally:
        ledger.close()


@pytest.fixture
def full(ebb_home: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """An installation where one run waits, and no other may; and that run."""
    (ebb_home / "ebb.yaml").write_text(ONE_WAITS)
    monkeypatch.setenv("EBB_CONFIG", str(ebb_home / "ebb.yaml"))
    return ebb_home, job(ebb_home, "first", "1m")


def test_it_waits_until_it_may_wait(full: tuple[Path, str]) -> None:
    home, first = full
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(job, home, "second", "1m")
        wait_until(second.running, 10, "it has begun to wait")
        assert not second.done()
        runs.end(Ledger(home), RunName(first), None, 0)
        assert second.result(timeout=30)


def test_it_is_refused_when_it_has_waited_as_long_as_it_may(full: tuple[Path, str]) -> None:
    with pytest.raises(CapacityError) as error:
        job(full[0], "second", "1s")
    assert error.value.reason is Reason.QUEUE_FULL


def test_its_time_to_start_counts_while_it_waits_to_be_begun(
    full: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, first = full
    refused_at: list[float] = []
    begin_run = runs.begin

    def noted(*words: Any, **more: Any) -> RunSpec:
        try:
            return begin_run(*words, **more)
        except CapacityError:
            refused_at.append(wall_s())
            raise

    monkeypatch.setattr(runs, "begin", noted)
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(job, home, "second", "1m")
        wait_until(lambda: refused_at, 10, "it was refused")
        runs.end(Ledger(home), RunName(first), None, 0)
        run = Ledger(home).run(RunName(second.result(timeout=30)))
    assert run is not None
    assert run.created < refused_at[0]
