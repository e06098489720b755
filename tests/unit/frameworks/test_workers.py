"""What worker processes share: finding a head that is not there yet, showing what others print."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from ebbtide.infra.frameworks import workers
from ebbtide.infra.frameworks.shown import Shown
from ebbtide.infra.frameworks.workers import killed_for_memory, listens, wait_until_it_listens


def test_head_that_comes_later_is_found_by_its_name() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
        timer = threading.Timer(0.3, reserved.listen)
        assert listens(f"localhost:{port}") == ""
        timer.start()
        found = wait_until_it_listens(f"localhost:{port}", 10, threading.Event())
        timer.join()
    assert found == f"127.0.0.1:{port}"


def test_head_that_does_not_come_is_given_up_in_time_or_when_told_to_leave() -> None:
    told = threading.Event()
    assert wait_until_it_listens("127.0.0.1:9", 0.1, told) == ""
    told.set()
    assert wait_until_it_listens("127.0.0.1:9", 60, told) == ""


def test_name_that_nobody_knows_is_no_failure() -> None:
    assert listens("no-such-name.invalid:1") == ""


def test_what_files_are_appended_is_printed_once(tmp_path: Path) -> None:
    out = (tmp_path / "printed").open("wb")
    outputs = dict.fromkeys(("worker-*.out", "worker-*.err"), out.fileno())
    shown = Shown(tmp_path / "logs", outputs, (b":job",))
    shown.look()
    (tmp_path / "logs").mkdir()
    for name in ("worker-a.out", "worker-b.err", "raylet.out"):
        (tmp_path / "logs" / name).write_text(f":job_id:01\nfirst of {name}\n")
    shown.look()
    with (tmp_path / "logs" / "worker-a.out").open("a") as file:
        file.write("second\n")
    shown.look()
    shown.look()
    out.close()
    assert (
        tmp_path / "printed"
    ).read_bytes() == b"first of worker-a.out\nfirst of worker-b.err\nsecond\n"


@pytest.mark.parametrize(
    ("text", "killed"),
    [("low 0\noom 3\noom_kill 2\n", 2), ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1)],
)
def test_kernel_is_asked_how_many_processes_it_killed_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, killed: int
) -> None:
    monkeypatch.setattr(workers, "_OF_CONTAINER", (tmp_path / "none", tmp_path / "events"))
    assert killed_for_memory() == 0
    (tmp_path / "events").write_text(text)
    assert killed_for_memory() == killed
