"""A Spark worker's process around its JVM: what it passes on, keeps, knows and exits with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.frameworks import door
from ebbtide.infra.frameworks.spark import head, jvm, pages
from ebbtide.infra.frameworks.spark import worker as spark_worker
from ebbtide.infra.frameworks.spark.framework import Spark
from ebbtide.infra.frameworks.spark.printed import Kept, passed_on
from ebbtide.infra.models.phases import exit_status
from tests.unit.frameworks.test_plan import PATHS, plan_of

STATUS = "http://rose:8787/ebb/status"
HEAD = {"dashboard": "http://rose:8787", "status_url": STATUS}
SETTINGS = {"secrets": "/nowhere", "host": "10.0.0.7", "drain_budget_s": 30.0}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The file for what an executor prints to its stderr."""
    folder = tmp_path / "work" / "app-1" / "0"
    folder.mkdir(parents=True)
    return folder / "stderr"


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """Passes on what is new, and gives all that was printed to stdout and to stderr."""
    streams = [(tmp_path / name).open("wb") for name in ("out", "err")]
    shown = passed_on(tmp_path / "work", (streams[0].fileno(), streams[1].fileno()))

    def look(*, last: bool = False) -> list[str]:
        shown.look(last=last)
        return [(tmp_path / name).read_text() for name in ("out", "err")]

    yield look
    for stream in streams:
        stream.close()


def test_what_executors_print_is_passed_on_once_and_in_whole_lines(
    log: Path, printed: Callable[..., list[str]]
) -> None:
    log.write_text("one\ntw")
    log.with_name("stdout").write_text("said\n")
    assert printed() == ["said\n", "one\n"]
    assert printed() == ["said\n", "one\n"]
    with log.open("a") as more:
        more.write("o\nthree")
    assert printed() == ["said\n", "one\ntwo\n"]
    assert printed(last=True) == ["said\n", "one\ntwo\nthree"]


def test_file_that_spark_gives_another_name_is_not_printed_again(
    log: Path, printed: Callable[..., list[str]]
) -> None:
    log.write_text("one\n")
    printed()
    log.rename(log.with_name("stderr--2026"))
    log.write_text("two\n")
    assert printed() == ["", "one\ntwo\n"]


def test_lines_longer_than_a_piece_are_whole(log: Path, printed: Callable[..., list[str]]) -> None:
    text = "x" * 200_000 + "\nshort\n"
    log.write_text(text)
    printed()
    assert printed()[1] == text


def test_what_executors_print_is_kept_under_a_second_name(log: Path, tmp_path: Path) -> None:
    log.write_text("early\n")
    (log.parent / "users.jar").touch()
    kept = Kept(tmp_path / "work", tmp_path / "kept")
    kept.look()
    with log.open("a") as more:
        more.write("late\n")
    kept.look()
    assert (tmp_path / "kept" / "app-1" / "0" / "stderr").read_text() == "early\nlate\n"
    assert not (tmp_path / "kept" / "app-1" / "0" / "users.jar").exists()


@pytest.mark.parametrize(("code", "status"), [(0, 0), (1, 1), (143, 143), (-9, 137), (-15, 143)])
def test_parent_of_a_jvm_exits_as_a_shell_does(code: int, status: int) -> None:
    assert exit_status(code) == status


@pytest.fixture
def master(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the head and pages of workers answer, by address."""
    answers: dict[str, Any] = {}
    monkeypatch.setattr(jvm, "ask", lambda url, _: answers.get(url))
    monkeypatch.setattr(door, "read_secret", lambda _: "secret")
    monkeypatch.setattr(pages, "bearer", lambda _: "Bearer")
    return answers


def registered_as(state: str) -> dict[str, Any]:
    return {"workers": [{"host": "10.0.0.7", "state": state, "webuiaddress": "http://page"}]}


def test_worker_has_registered_when_the_head_says_that_it_is_alive(master: dict[str, Any]) -> None:
    def found() -> str | None:
        return spark_worker.own_page(HEAD, Path("/nowhere"), "10.0.0.7")

    assert found() is None
    master["http://rose:8787/json/"] = registered_as("DEAD")
    assert found() is None
    master["http://rose:8787/json/"] = registered_as("ALIVE")
    assert found() == "http://page"


class Process:
    """A JVM that ends when it is told to."""

    def __init__(self, ended: threading.Event):
        self.signals: list[str] = []
        self.pid = 0
        self._ended = ended

    def poll(self) -> None:
        """It runs."""

    def send_signal(self, number: int) -> None:
        self.signals.append(str(number))

    def terminate(self) -> None:
        self.signals.append("end")
        self._ended.set()


def leaving(printed: Kept) -> list[str]:
    ended = threading.Event()
    process: Any = Process(ended)
    worker = spark_worker.Worker(dict(SETTINGS), HEAD, process, printed)
    worker.leave(ended)
    return list(process.signals)


def test_worker_that_has_registered_drains_and_then_ends(
    master: dict[str, Any], tmp_path: Path
) -> None:
    master["http://rose:8787/json/"] = registered_as("ALIVE")
    master["http://page/json/"] = {"executors": []}
    assert leaving(Kept(tmp_path, tmp_path)) == ["30", "end"]


def test_worker_that_nobody_knows_ends_at_once(master: dict[str, Any], tmp_path: Path) -> None:
    assert leaving(Kept(tmp_path, tmp_path)) == ["end"]
    assert master == {}


def test_worker_whose_head_has_gone_does_not_drain_to_its_budget(
    master: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_worker, "_HEAD_GONE_S", 0.1)
    ended = threading.Event()
    process: Any = Process(ended)
    worker = spark_worker.Worker(
        {**SETTINGS, "drain_budget_s": 60.0}, HEAD, process, Kept(tmp_path, tmp_path), "http://page"
    )
    master["http://page/json/"] = {"executors": ["busy"]}
    worker.leave(ended)
    assert process.signals == ["30", "end"]


def told(stored_bytes: int, *takers: str) -> dict[str, Any]:
    """By the head's process, of this worker's blocks and who could take them."""
    return {"workers": {"10.0.0.7": {"stored_bytes": stored_bytes}}, "can_take_blocks": takers}


@pytest.fixture
def waits(
    master: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., list[str]]:
    """Lets a worker leave whose head says these one after the other; gives what it was asked."""
    said: list[str] = []

    def leave(*answers: dict[str, Any], budget_s: float = 30.0) -> list[str]:
        left = list(answers)

        def ask(url: str, _: str) -> Any:
            if url != STATUS:
                return master.get(url)
            said.append("may they move?")
            return left.pop(0) if len(left) > 1 else left[0]

        monkeypatch.setattr(jvm, "ask", ask)
        master["http://rose:8787/json/"] = registered_as("ALIVE")
        master["http://page/json/"] = {"executors": []}
        ended = threading.Event()
        process: Any = Process(ended)
        process.signals = said
        settings = {**SETTINGS, "drain_budget_s": budget_s}
        spark_worker.Worker(settings, HEAD, process, Kept(tmp_path, tmp_path)).leave(ended)
        return said

    return leave


def test_worker_with_blocks_drains_when_another_can_take_them(
    waits: Callable[..., list[str]],
) -> None:
    own = told(1, "10.0.0.7")
    assert waits(own, own, told(1, "10.0.0.7", "10.0.0.8")) == [
        *3 * ["may they move?"],
        "30",
        "end",
    ]


@pytest.mark.parametrize("answer", [told(0), None])
def test_worker_without_blocks_or_without_a_head_waits_for_nobody(
    waits: Callable[..., list[str]], answer: Any
) -> None:
    assert waits(answer) == ["may they move?", "30", "end"]


def test_worker_whose_blocks_nobody_can_take_drains_all_the_same(
    waits: Callable[..., list[str]],
) -> None:
    assert waits(told(1), budget_s=0.2)[-2:] == ["30", "end"]


def test_head_says_who_has_an_executor_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"10.0.0.1": "ALIVE", "10.0.0.2": "ALIVE", "10.0.0.3": "DECOMMISSIONED"}
    hosts = [{"host": host, "state": state} for host, state in states.items()]
    executors = [executor_at(host) for host in ("10.0.0.1", "10.0.0.3", "10.0.0.9")]
    api = "/proxy/app-1/api/v1/applications/app-1"
    apps = {"activeapps": [{"id": "app-1", "cores": 1}], "completedapps": []}
    answers = {
        "/json/": {"workers": hosts, **apps},
        f"{api}/allexecutors": executors,
        f"{api}/stages?status=active": [],
    }
    monkeypatch.setattr(jvm, "ask", lambda url, _: answers.get(url.removeprefix("http://master")))
    monkeypatch.setattr(jvm, "read", lambda *_: None)
    watcher = head.Watcher("http://master", "Bearer")
    watcher.look()
    assert watcher.answer["can_take_blocks"] == ["10.0.0.1"]


def executor_at(host: str) -> dict[str, Any]:
    counted = ("activeTasks", "completedTasks", "failedTasks", "totalCores")
    kept = ("memoryUsed", "diskUsed", "totalShuffleWrite")
    return {"hostPort": f"{host}:40000", "isActive": True, **dict.fromkeys((*counted, *kept), 0)}


def test_worker_looks_for_the_head_that_is_not_there_yet_and_leaves_when_told(
    tmp_path: Path,
) -> None:
    head = tmp_path / "head.json"
    head.write_text('{"address": "spark://127.0.0.1:9", "dashboard": ""}')
    settings = {"scratch": str(tmp_path), "host": "127.0.0.1", "head_file": str(head)}
    words = "import json, sys; from ebbtide.infra.frameworks.spark.worker import main\n"
    words += "print('up', flush=True); sys.exit(main(json.loads(sys.argv[1])))"
    argv = [sys.executable, "-c", words, json.dumps({**settings, "head_wait_s": 60})]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=dict(os.environ)) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process.poll() is None
        process.terminate()
        assert process.wait(10) in (0, -15)  # before its handler is there, or after


@pytest.mark.parametrize("alone", [True, False])
def test_members_that_are_alone_encrypt_what_they_say(alone: bool) -> None:
    spark = Spark()
    plan = replace(plan_of(spark), paths=replace(PATHS, alone=alone))
    (file,) = (each for each in spark.prepare(plan) if each.name == "spark-defaults.conf")
    assert "spark.authenticate true\n" in file.content
    for setting in ("spark.network.crypto.enabled", "spark.io.encryption.enabled"):
        assert (f"{setting} true\n" in file.content) == alone
