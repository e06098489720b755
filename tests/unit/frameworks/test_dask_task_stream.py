"""The page of a cluster's tasks, as a head writes it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ebbtide.infra.frameworks.dask import task_stream
from ebbtide.infra.frameworks.dask.task_stream import FILE, TaskStream


class Ran:
    """A head in which tasks end."""

    def __init__(self, folder: Path):
        workers = {"tls://a:1": SimpleNamespace(name="worker-0")}
        self.scheduler: Any = SimpleNamespace(tasks={}, workers=workers)
        self.stream = TaskStream(self.scheduler, folder)
        self.page = folder / FILE

    def end(self, name: str, finish: str = "memory", worker: str = "tls://a:1") -> None:
        self.scheduler.tasks["key"] = SimpleNamespace(prefix=SimpleNamespace(name=name))
        steps = [
            {"action": "transfer", "start": 99.0, "stop": 99.5},
            {"action": "compute", "start": 100.0, "stop": 100.25},
        ]
        self.stream.transition(
            "key", "processing", finish, worker=worker, thread=1, startstops=steps
        )

    def parts(self) -> list[dict[str, Any]]:
        return [
            json.loads(p)
            for p in re.findall(r"<script>add\((.*)\)</script>", self.page.read_text())
        ]


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    return Ran(tmp_path / "artifacts" / "head")


def test_tasks_are_appended_with_worker_function_and_times(ran: Ran) -> None:
    ran.end("inc")
    ran.stream.write()
    ran.end("inc", "erred")
    ran.end("add", worker="tls://gone:1")
    ran.stream.remove_client(ran.scheduler, "client")
    first, second = ran.parts()
    assert first == {"names": ["inc"], "lanes": ["worker-0"], "tasks": [[0, 0, 100000.0, 250.0, 0]]}
    assert second["names"] == ["add"]
    assert second["lanes"] == ["tls://gone:1"]
    assert second["tasks"] == [[0, 0, 100000.0, 250.0, 1], [1, 1, 100000.0, 250.0, 0]]
    assert ran.page.read_text().startswith("<!doctype html>")


def test_nothing_is_written_where_nothing_ran(ran: Ran) -> None:
    ran.stream.write()
    assert not ran.page.exists()


def test_name_of_a_function_is_no_part_of_the_page(ran: Ran) -> None:
    ran.end("</script><b>")
    ran.stream.write()
    assert "</script><b>" not in ran.page.read_text()
    assert ran.parts()[0]["names"] == ["</script><b>"]


def test_page_is_bounded_and_says_so(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    ran.stream._room = 1
    for _ in range(3):
        ran.end("inc")
        ran.stream.write()
    assert [part.get("full") for part in ran.parts()] == [None, True]


def test_full_disk_costs_the_page_only(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(task_stream.TaskStream, "_append", full)
    ran.end("inc")
    ran.stream.write()
    assert not ran.page.exists()
