"""``ebb status``: what a monitor reads, and what a person is told to do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.prefect_server.bind import Bind
from ebbtide.flows.service import health
from ebbtide.flows.service.children import Child
from ebbtide.flows.service.manager import Manager
from ebbtide.flows.service.stack import StackInfo
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until
from tests.stack.prefect import EBB, Stack
from tests.stack.test_operator import again


def look(stack: Stack) -> tuple[int, dict[str, Any]]:
    """Exit code, and the document with its checks by name."""
    done = subprocess.run(
        [*EBB, "status", "--json"],
        cwd=stack.place,
        env=stack.environment,
        stdout=subprocess.PIPE,
        check=False,
    )
    found = json.loads(done.stdout)
    return done.returncode, {**found, **{check["check"]: check for check in found["checks"]}}


def until(stack: Stack, code: int, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The document, once the exit code is this one and that holds."""

    def ready() -> dict[str, Any] | None:
        now, found = look(stack)
        return found if now == code and holds(found) else None

    found = wait_until(ready, 60, f"ebb status exits {code}")
    assert found is not None
    return found


def test_all_is_well(stack: Stack) -> None:
    again(stack)  # other tests may have killed its worker
    found = until(stack, 0, lambda found: "last round" in found["reaper"]["detail"])
    checks = ("server", "worker", "pool", "schedules", "reaper", "disk", "home", "growth")
    assert [found[name]["state"] for name in checks] == ["ok"] * len(checks)
    assert "is online" in found["worker"]["detail"]
    assert found["use"]["home"] >= found["use"]["prefect_db"] > 0


def test_paused_pool_wants_a_look_and_says_what_to_do(stack: Stack) -> None:
    stack.pause_pool(paused=True)
    try:
        found = until(stack, 75, lambda found: found["pool"]["state"] == "warning")
    finally:
        stack.pause_pool(paused=False)
    assert "work-pool resume local" in found["pool"]["fix"]


def test_server_that_is_stopped_is_bad(stack: Stack) -> None:
    (pid,) = [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _is_server(folder, stack.home)
    ]
    os.kill(pid, signal.SIGSTOP)
    try:
        code, found = look(stack)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (code, found["server"]["state"]) == (70, "bad")


def test_worker_that_died_is_reported_with_its_last_words(stack: Stack) -> None:
    before = stack.info.worker_pid
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: stack.info.worker_pid != before, 30, "there is a worker again")
    found = until(stack, 75, lambda found: "started again" in found["stack"]["detail"])
    assert "its worker was started again 1 times" in found["stack"]["detail"]
    for command in ("held", "doctor"):
        done = subprocess.run(
            [*EBB, command], env=stack.environment, capture_output=True, text=True, check=False
        )
        assert "its worker was started again" in " ".join(done.stdout.split())


def test_not_up_is_a_state_with_words(tmp_path: Path) -> None:
    environment = {**os.environ, "EBB_HOME": str(tmp_path)}
    done = subprocess.run(
        [*EBB, "status"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 70
    assert "not up" in done.stdout
    assert "fix   ebb up" in done.stdout
    assert done.stderr.strip() == "ebb up is not running"


def test_worker_that_ends_instead_of_coming_online_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    (tmp_path / "log").write_text("Traceback (most recent call last):\nOSError: of another time\n")
    manager = Manager(Settings(home=tmp_path), tmp_path, 1, Bind())
    manager._worker = Child("worker", ["no_such_module"], tmp_path / "log")
    with pytest.raises(RuntimeError, match=r"the Prefect worker ended: .*No module named no_such"):
        manager._start_worker()


def _is_server(folder: Path, home: Path) -> bool:
    try:
        marked = f"EBB_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0")
        return marked and b"uvicorn" in (folder / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def test_reaper_that_makes_no_rounds_is_bad_but_not_in_its_first_minutes(tmp_path: Path) -> None:
    settings, pid = Settings(home=tmp_path), os.getpid()
    young = StackInfo(pid, _ticks_ago(10), "", ready=True)
    assert health._reaper(settings, young).state == "ok"
    assert health._reaper(settings, replace(young, started=_ticks_ago(600))).state == "bad"


def _ticks_ago(seconds: float) -> float:
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return (uptime_s - seconds) * os.sysconf("SC_CLK_TCK")
