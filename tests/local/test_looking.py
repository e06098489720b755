"""Looking changes nothing: only reap, release and sweep give back what nobody takes care of."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.flows.cli import main as cli
from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.lifecycle import reaper, steps
from ebbtide.infra.lifecycle.steps import Attempt, attempt_of
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.orders import Release
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import ProcessRef
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.processes.identity import alive
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s
from tests.clusters import cluster_spec, run_spec, script
from tests.helpers import wait_until, within

CLUSTER = ClusterId("heron-1")
DEAD = ProcessRef(2**22, 1)
COMMANDS = [
    *("ps", "ps -a", "why heron", "logs heron", "nodes", "tiers", "cost", "held", "status"),
    *("run --plan --framework none -- true", "prune --older-than 1d --dry-run", "stop --help"),
]


def _kill(platform: LocalPlatform) -> None:
    for role in ("guard", "supervisor"):
        (pid,) = _pids(platform, role)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: not alive(pid), 10, f"the {role} is dead")  # type: ignore[misc]


def _stop(platform: LocalPlatform) -> None:
    (pid,) = _pids(platform, "supervisor")
    with (
        platform.ledger.transaction()
    ):  # stopped in a transaction of its own, it would keep the lock
        os.kill(pid, signal.SIGSTOP)
    platform.ledger.order(CLUSTER, Release(at=wall_s() - 60))


STATES = {"dead": _kill, "hanging": _stop}


def _pids(platform: LocalPlatform, role: str) -> list[int]:
    home = platform.settings.home
    return [process.pid for process in marks.marked(home, CLUSTER) if process.role == role]


@pytest.fixture(params=STATES)
def attempt(request: pytest.FixtureRequest, ebb_home: Path, tmp_path: Path) -> Iterator[Attempt]:
    """A program still runs, and nobody takes care of its cluster; its flow is dead too."""
    platform = LocalPlatform(Settings(ebb_home))
    program = script(tmp_path, "import time; time.sleep(600)")
    spec = run_spec("heron", cluster_spec("none"), program, lease_s=600)
    runs.begin(platform.ledger, spec, flow_process=DEAD)
    platform.declare(spec, 1)
    platform.start_job(CLUSTER)
    wait_until(lambda: _pids(platform, "driver"), 30, "the program runs")
    wait_until(lambda: _view(platform), 30, "it is written down")
    STATES[request.param](platform)
    yield attempt_of(platform.settings, platform.ledger, spec)
    platform.sweep(CLUSTER)


def _view(platform: LocalPlatform) -> float | None:
    view = platform.observe(CLUSTER)
    return view.job.started_at if view else None


def everything(home: Path) -> tuple[list[str], list[int]]:
    """What the ledger says, and what lives."""
    path = f"file:{home / 'ledger.sqlite'}?mode=ro"
    with contextlib.closing(sqlite3.connect(path, uri=True)) as connection:
        rows = list(connection.iterdump())
    return rows, [process.pid for process in marks.marked(home)]


def test_observe_changes_nothing(attempt: Attempt, ebb_home: Path) -> None:
    before = everything(ebb_home)
    view = attempt.platform.observe(CLUSTER)
    assert view is not None
    assert view.released_at is None
    assert everything(ebb_home) == before


def test_commands_that_look_change_nothing(
    attempt: Attempt, ebb_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(ebb_home)
    for words in COMMANDS:
        cli.main(words.split())
        assert everything(ebb_home) == before, words


def test_wait_of_the_flow_releases_at_once(attempt: Attempt, ebb_home: Path) -> None:
    with within(60, "the wait ends"), pytest.raises(ProvisioningError) as error:
        steps.run_user_job(attempt)
    assert error.value.reason is Reason.SUPERVISOR_LOST
    assert everything(ebb_home)[1] == []


def test_reaper_releases_and_ends_the_run(attempt: Attempt, ebb_home: Path) -> None:
    found = reaper.reap(Settings(ebb_home))
    assert (found.clusters, found.runs) == ((CLUSTER,), ("heron",))
    assert everything(ebb_home)[1] == []


def test_stop_releases(attempt: Attempt, ebb_home: Path) -> None:
    assert cli.main(["stop", "heron"]) == 0
    assert everything(ebb_home)[1] == []


def test_ps_names_what_nobody_takes_care_of(
    ebb_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(ebb_home)
    runs.begin(ledger, run_spec("egret", cluster_spec("none")), flow_process=DEAD)
    cli.main(["ps"])
    said = capsys.readouterr()
    assert "! no living owner: egret; ebb held --release ends them" in said.err
    assert "Queued" in said.out
