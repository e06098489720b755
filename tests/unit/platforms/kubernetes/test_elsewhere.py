from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ebbtide.flows.cli.runs.pages.kept import kept_artifacts
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import ProcessRef, Run
from ebbtide.infra.platforms.base import Platform
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.elsewhere import ends as its_ends
from ebbtide.infra.platforms.kubernetes.elsewhere.ends import Ends, ends_of, read_ends, write_ends
from ebbtide.infra.platforms.kubernetes.elsewhere.sources import held_logs, is_elsewhere, logs_here
from ebbtide.infra.platforms.kubernetes.elsewhere.streams import Copies, Held, MemberLog
from ebbtide.infra.platforms.kubernetes.naming import ROLE
from ebbtide.infra.platforms.run_folder import kept_files
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until
from tests.unit.platforms.kubernetes.here import Pod

RUN = RunName("copper-heron")


class Shelf:
    """An API server that has the record of one run."""

    def __init__(self) -> None:
        self.things: dict[str, Any] = {f"ebb-run-{RUN}": {"metadata": {"uid": "u-1"}}}

    def get(self, _: Any, name: str) -> Any:
        return self.things.get(name)

    def apply(self, thing: dict[str, Any]) -> None:
        self.things[thing["metadata"]["name"]] = thing


def folder_with(tmp_path: Path, **logs: bytes) -> Path:
    for name, text in logs.items():
        (tmp_path / f"{name.replace('_', '-')}.log").write_bytes(text)
    return tmp_path


def ends_in(folder: Path) -> Ends:
    return ends_of(folder, kept_files(folder), host="laptop")


def read_all(pod: Pod, name: str) -> bytes:
    return b"".join(part.read_bytes() for part in (pod.folder / "log" / name).glob("*"))


def text(stream: Any) -> bytes:
    return b"".join(stream.pieces())


def run_of(**more: Any) -> Run:
    return Run(name=RUN, spec_json="{}", **more)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    shelf = cast(Api, Shelf())
    assert write_ends(shelf, RUN, ends_in(folder_with(tmp_path, stdout=b"1\n", worker_0=b"w\n")))
    ends = read_ends(shelf, RUN)
    assert ends is not None
    assert ends.texts == {"stdout": b"1\n", "worker-0": b"w\n"}
    assert {file.host for file in ends.files} == {"laptop"}


def test_nothing_is_written_of_a_run_without_records(tmp_path: Path) -> None:
    assert not write_ends(cast(Api, Shelf()), RunName("other"), ends_in(tmp_path))


def test_ends_are_bounded(tmp_path: Path) -> None:
    logs = {f"worker_{number}": b"0123456\n" * 10_000 for number in range(100)}
    ends = ends_in(folder_with(tmp_path, stdout=b"0123456\n" * 50_000, **logs))
    assert len(ends.texts["stdout"]) <= its_ends.PROGRAM_BYTES
    assert sum(map(len, ends.texts.values())) <= its_ends.TOTAL_BYTES


def test_an_end_begins_with_a_line(tmp_path: Path) -> None:
    ends = ends_in(folder_with(tmp_path, stdout=b"0123456789\n" * 50_000))
    assert ends.texts["stdout"].startswith(b"0123456789\n")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    ends = ends_in(folder_with(tmp_path, stdout=b"0123456\n" * 50_000))
    first, *_ = text(held_logs(ends, RUN, "job")["stdout"]).splitlines()
    assert first.decode().endswith(f"the whole output is on laptop, in {tmp_path}")


def test_a_file_that_is_only_there_is_named_with_its_machine(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "answer").write_text("42")
    with pytest.raises(ConfigurationError) as caught:
        held_logs(ends_in(tmp_path), RUN, "output/answer")
    assert caught.value.problems[0].hint == f"it is on laptop, in {tmp_path}"


def test_a_run_that_nobody_collected_says_so() -> None:
    assert b"nobody was there" in text(held_logs(None, RUN, "job")["stdout"])


def test_a_held_text_skips_to_a_line() -> None:
    held = Held(b"one\n" * 100)
    assert held.skip(10) == 392
    assert text(held) == b"one\none\n"


def test_output_of_a_program_that_runs_is_read_from_its_pod(pod: Pod) -> None:
    pod.python(
        "import sys, time\nprint('out', flush=True)\nsys.stderr.write('err')\ntime.sleep(60)"
    )
    wait_until(lambda: read_all(pod, "stderr") == b"err", 20, "it has printed")
    streams = Copies(cast(Api, SimpleNamespace(run=pod.run)), "driver").streams()
    assert {name: text(stream) for name, stream in streams.items()} == {
        "stdout": b"out\n",
        "stderr": b"err",
    }


def test_a_members_log_goes_on_where_it_was_read() -> None:
    def logs(_: str, __: str, follow: Any = None, **___: Any) -> list[bytes]:
        return [b"one\n", b"two\n"] if follow else [b"one\n"]

    log = MemberLog(cast(Api, SimpleNamespace(logs=logs)), "pod", "head")
    assert text(log) == b"one\n"
    seen = text(log)
    while not seen:
        seen = text(log)
    assert seen == b"two\n"


def test_log_of_a_member_that_stays_is_read_here_too_behind_what_is_kept(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.run_folder(RUN).mkdir(parents=True)
    (settings.run_folder(RUN) / "worker-0.log").write_text("before it died\n")
    pod = {"metadata": {"name": "w-a", "labels": {ROLE: "worker"}}}
    view = ClusterView(cluster=ClusterId("heron-1"), worker_names={"w-a": "worker-0"})
    known = SimpleNamespace(id=view.cluster, released=None, last_view=view)
    store = cast(RunStore, SimpleNamespace(last_cluster=lambda run: known))
    api = SimpleNamespace(
        list=lambda *_: SimpleNamespace(items=[pod]), logs=lambda *_, **__: [b"started again\n"]
    )
    log = logs_here(cast(Api, api), store, settings, RUN, "worker-0")["text"]
    assert text(log) == b"before it died\nstarted again\n"


@pytest.mark.parametrize("machine", ["", "laptop/1"])
def test_a_run_is_elsewhere_where_its_flow_is(tmp_path: Path, machine: str) -> None:
    settings = Settings(home=tmp_path)
    settings.run_folder(RUN).mkdir(parents=True)
    run = run_of(flow_process=ProcessRef(1, machine=machine))
    assert is_elsewhere(settings, run) == bool(machine)


def test_a_run_of_another_installation_is_elsewhere(tmp_path: Path) -> None:
    assert is_elsewhere(Settings(home=tmp_path), run_of(flow_process=ProcessRef(1)))


def test_a_run_that_begins_here_is_here(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / RUN).touch()
    assert not is_elsewhere(Settings(home=tmp_path), run_of())


def test_files_that_another_machine_has_are_not_opened_here(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "report.html").write_text("<html>")
    there = tuple(replace(file, host="laptop") for file in kept_files(tmp_path))
    platform = cast(Platform, SimpleNamespace(kept=lambda run: there))
    assert kept_artifacts(run_of(), platform) == []
