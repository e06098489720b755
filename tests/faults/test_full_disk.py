"""Commands that look, on a disk that is full: they say what they can."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.ledger import Ledger
from tests.faults.test_machine import DISK_BYTES, fill
from tests.helpers import wait_until

EBB = str(Path(sys.executable).with_name("ebb"))


@pytest.fixture
def small_home(ebb_home: Path) -> Iterator[Path]:
    """A home of its own file system."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700", "ebb-test", str(ebb_home)]
    subprocess.run(mount, check=True)
    yield ebb_home
    subprocess.run(["umount", "--lazy", str(ebb_home)], check=True)


@pytest.fixture
def full(small_home: Path) -> Path:
    """It holds a ledger with a run that has ended, and no room: nobody has the ledger open."""
    run = [EBB, "run", "--framework", "none", "--name", "before", "--", "true"]
    environment = {**os.environ, "EBB_PREFECT_SERVER": "off", "PREFECT_API_URL": ""}
    subprocess.run(run, env=environment, check=True, capture_output=True)
    wait_until(lambda: not list(small_home.glob("ledger.sqlite-*")), 30, "the ledger is closed")
    fill(small_home)
    return small_home


def ebb(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([EBB, *words], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("full")
def test_ps_why_logs_and_cost_answer_from_a_copy() -> None:
    done = ebb("ps", "-a", "--json")
    assert [run["run"] for run in json.loads(done.stdout)] == ["before"]
    assert "the ledger cannot be opened" in done.stderr
    for command in (("why", "before"), ("logs", "before"), ("cost", "before")):
        found = ebb(*command)
        assert found.returncode == 0, found.stderr


def test_held_finds_what_lives_by_its_mark_without_any_ledger(small_home: Path) -> None:
    fill(small_home)
    assert not (small_home / "ledger.sqlite").exists()
    mark = marks.mark(small_home, RunName("lost"), ClusterId("lost-1"), "worker", "worker-0")
    sleeper = subprocess.Popen(["sleep", "60"], env={**os.environ, **mark})
    try:
        done = ebb("held", "--json")
    finally:
        sleeper.kill()
        sleeper.wait()
    found = json.loads(done.stdout)
    assert [held["where"] for held in found["held"]] == [f"pid {sleeper.pid}"]
    assert (done.returncode, found["orphans"]) == (1, ["lost-1"])
    assert "only what is found on this machine is shown" in done.stderr


@pytest.mark.usefixtures("full")
def test_status_says_that_the_disk_is_full() -> None:
    done = ebb("status", "--json")
    states = {check["check"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert (done.returncode, states["disk"], states["ledger"]) == (70, "bad", "bad")


def test_what_would_write_says_to_free_space_and_loses_nothing(full: Path) -> None:
    done = ebb("stop", "before")
    assert done.returncode != 0
    assert "free some disk space" in done.stderr
    (full / "filler").unlink()
    assert Ledger(full).run(RunName("before")) is not None
