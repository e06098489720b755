"""How much of a run's artifacts is kept, and which of them go first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ebbtide.infra.files.cuts import Cut, cut_of
from ebbtide.infra.files.tails import Tail
from ebbtide.infra.files.whole import Whole, to_empty
from ebbtide.infra.platforms.local.supervisor.limits import output
from ebbtide.infra.platforms.local.supervisor.limits.output import OutputWatch

MIB = 2**20
EVENTS = Path("artifacts/driver/eventlog/eventlog_v2_app-1")


def series(folder: Path, count: int, bytes_: int = MIB) -> list[Path]:
    """A rolling event log, oldest file first."""
    (folder / EVENTS).mkdir(parents=True)
    found = []
    for number in range(1, count + 1):
        path = folder / EVENTS / f"events_{number}_app-1.zstd"
        path.write_bytes(os.urandom(bytes_))
        os.utime(path, (number, number))
        found.append(path)
    return found


def sizes(paths: list[Path]) -> list[int]:
    return [path.stat().st_size // MIB for path in paths]


def test_oldest_whole_files_are_emptied_but_not_where_a_series_begins(tmp_path: Path) -> None:
    files = series(tmp_path, 8)
    said = OutputWatch(tmp_path, 16 * MIB).look()
    assert sizes(files) == [1, 0, 0, 0, 0, 0, 1, 1]
    assert (
        said
        == "artifacts: more than a quarter of --max-output 16 MiB; their oldest files are emptied"
    )


def test_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(output, "now_s", lambda: now[0])
    files, watch = series(tmp_path, 8), OutputWatch(tmp_path, 16 * MIB)
    assert watch.look()
    files[2].write_bytes(os.urandom(4 * MIB))
    os.utime(files[2], (3, 3))
    now[0] += 2
    assert watch.look() == ""
    assert sizes(files) == [1, 0, 0, 0, 0, 0, 1, 1]


def test_artifacts_within_their_part_are_untouched(tmp_path: Path) -> None:
    files = series(tmp_path, 4)
    assert OutputWatch(tmp_path, 16 * MIB).look() == ""
    assert sizes(files) == [1, 1, 1, 1]


def test_without_a_limit_nothing_is_emptied(tmp_path: Path) -> None:
    files = series(tmp_path, 8)
    assert OutputWatch(tmp_path, None).look() == ""
    assert sizes(files) == [1] * 8


def test_a_single_file_that_is_too_large_goes_too() -> None:
    only = Whole(Path("driver/events"), 10, 1.0)
    assert to_empty([only], 9) == [only]


def test_artifacts_leave_less_of_the_limit_to_what_is_printed(tmp_path: Path) -> None:
    series(tmp_path, 3)
    log = tmp_path / "stdout.log"
    log.write_bytes(b"a line of text\n" * (14 * MIB // 15))
    watch = OutputWatch(tmp_path, 16 * MIB)
    watch.look()
    assert watch.finish().startswith("output: more than --max-output 16 MiB")
    assert log.stat().st_blocks * 512 <= 13 * MIB


def test_logs_among_artifacts_are_cut_in_their_middle_each_with_a_note_of_its_own(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "artifacts" / "worker-0"
    folder.mkdir(parents=True)
    out, err = folder / "worker-1.out", folder / "worker-1.err"
    out.write_bytes(b"a line of text\n" * (4 * MIB // 15))
    err.write_bytes(b"one line\n")
    watch = OutputWatch(tmp_path, MIB)
    watch.look()
    watch.finish()
    cut = cut_of(out)
    assert isinstance(cut, Cut)
    assert cut_of(err) is None
    assert b"cut here: --max-output 1 MiB" in b"".join(Tail(out).pieces())


def test_a_log_that_was_moved_counts_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(output, "now_s", lambda: now[0])
    folder = tmp_path / "artifacts" / "head"
    folder.mkdir(parents=True)
    (folder / "gcs.out").write_bytes(b"a line of text\n" * (MIB // 20))
    watch = OutputWatch(tmp_path, MIB)
    watch.look()
    (folder / "gcs.out").rename(folder / "gcs.out.1")
    now[0] += 10
    watch.look()
    assert cut_of(folder / "gcs.out.1") is None
