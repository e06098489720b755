"""The list of what a run has left: how each file is seen, and that large folders are one row."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.files.kept import KeptFile, KeptKind, is_log
from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.presentation.kept_text import kept_line, kept_table, stored_line
from tests.clusters import cluster_spec

RUN = RunName("copper-heron")


def kept(name: str, kind: KeptKind = KeptKind.ARTIFACT, bytes_: int = 1024) -> KeptFile:
    return KeptFile(name=name, kind=kind, bytes_=bytes_, changed=0.0, path=Path("/kept", name))


def seen(file: KeptFile, framework: str = "dask") -> str:
    (row,) = kept_table(RUN, cluster_spec(framework), [file]).rows
    return row[-1]


@pytest.mark.parametrize(
    ("name", "kind", "see"),
    [
        ("stdout", KeptKind.PROGRAM, "ebb logs copper-heron"),
        ("train/stderr", KeptKind.PROGRAM, "ebb logs copper-heron/train"),
        ("worker-3", KeptKind.LOG, "ebb logs copper-heron --from worker-3"),
        (
            "worker-0/raylet.out",
            KeptKind.ARTIFACT,
            "ebb logs copper-heron --from worker-0/raylet.out",
        ),
        ("head/report.html", KeptKind.ARTIFACT, "ebb open copper-heron"),
        ("output/report.html", KeptKind.OUTPUT, "/kept/output/report.html"),
        ("output/a file", KeptKind.OUTPUT, "'/kept/output/a file'"),
        ("output/train.log", KeptKind.OUTPUT, "/kept/output/train.log"),
    ],
)
def test_it_is_said_how_each_file_is_seen(name: str, kind: KeptKind, see: str) -> None:
    assert seen(kept(name, kind)) == see


def test_an_event_log_is_one_row_for_the_framework_that_has_a_server_for_it() -> None:
    folder = "driver/eventlog/eventlog_v2_app-1"
    files = [kept(f"{folder}/events_{number}_app-1.zstd") for number in (1, 2)]
    (row,) = kept_table(RUN, cluster_spec("spark"), files).rows
    assert (row[0], row[-1]) == ("driver/eventlog/ (2 files)", "ebb open copper-heron")
    assert seen(files[0], "ray") == f"/kept/{files[0].name}"


def test_a_large_folder_is_one_row_until_it_is_asked_for() -> None:
    many = [kept(f"worker-0/ray/worker-{number}.out") for number in range(9)]
    files = [kept("head/report.html"), *many]
    rows = kept_table(RUN, cluster_spec(), files).rows
    assert [row[0] for row in rows] == ["head/report.html", "worker-0/ray/ (9 files)"]
    assert rows[1][1] == "9 KiB"
    assert rows[1][-1] == "ebb logs copper-heron --list --from worker-0/ray/"
    for asked in ("worker-0/ray", "worker-0/ray/"):
        rows = kept_table(RUN, cluster_spec(), files, asked).rows
        assert [row[0] for row in rows] == [file.name for file in many]


def test_a_log_and_a_folder_of_the_same_name_are_both_listed() -> None:
    files = [kept("worker-0", KeptKind.LOG), kept("worker-0/app-1/0/stderr")]
    rows = kept_table(RUN, cluster_spec("spark"), files).rows
    assert [row[0] for row in rows] == [file.name for file in files]


def test_many_small_folders_are_one_row_too() -> None:
    files = [kept(f"output/day={day}/part", KeptKind.OUTPUT) for day in range(30)]
    (row,) = kept_table(RUN, cluster_spec(), files).rows
    assert row[0] == "output/ (30 files)"


def test_a_folder_of_which_another_is_the_beginning_is_not_listed_with_it() -> None:
    files = [kept("worker-1/a.out"), kept("worker-10/b.out")]
    rows = kept_table(RUN, cluster_spec(), files, "worker-1").rows
    assert [row[0] for row in rows] == ["worker-1/a.out"]


@pytest.mark.parametrize(
    ("destination", "stored", "line"),
    [
        ("", "", ""),
        ("volume://claim/heron", "", "volume://claim/heron"),
        ("s3://b/heron", "2 files, 2 KiB", "s3://b/heron (2 files, 2 KiB)"),
        ("s3://b/heron", "", ""),
    ],
)
def test_it_is_said_where_the_output_went(destination: str, stored: str, line: str) -> None:
    view = ClusterView(cluster=ClusterId("heron-1"), job=JobView(stored=stored))
    assert stored_line(destination, view) == line


def test_the_last_line_says_how_much_and_where_to_look() -> None:
    files = [kept("stdout", KeptKind.PROGRAM), kept("worker-0", KeptKind.LOG, 2048)]
    assert kept_line(RUN, files) == "2 files, 3 KiB; ebb logs copper-heron --list"


@pytest.mark.parametrize(
    ("name", "told"),
    [("raylet.out", True), ("gcs_server.err", True), ("worker.log.2", True), ("stdout", True),
     ("events_1_app.zstd", False), ("report.html", False), ("logo.png", False)],
)  # fmt: skip
def test_logs_are_told_by_their_names(name: str, told: bool) -> None:
    assert is_log(Path("worker-0", name)) is told
