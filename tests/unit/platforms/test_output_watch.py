"""What is kept of a flood of output, and how it is read afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ebbtide.flows.cli.runs.logs import _last
from ebbtide.infra.files import cuts
from ebbtide.infra.files.cuts import cut_of
from ebbtide.infra.files.tails import Tail, last_bytes
from ebbtide.infra.platforms.local.supervisor.limits import output
from ebbtide.infra.platforms.local.supervisor.limits.output import OutputWatch, level_of

MIB = 2**20
LIMIT = MIB
LINE = b"%09d\n"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock for what is fresh: moved by hand."""
    now = [1000.0]
    monkeypatch.setattr(output, "now_s", lambda: now[0])

    def pass_(seconds: float) -> None:
        now[0] += seconds

    return pass_


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stdout.log"


def add(path: Path, first: int, mebibytes: int) -> int:
    """Append numbered lines, as a program does; gives the next number."""
    count = mebibytes * MIB // 10
    with path.open("ab") as file:
        file.write(b"".join(LINE % number for number in range(first, first + count)))
    return first + count


def flood(path: Path, watch: OutputWatch, clock: Callable[[float], None], times: int = 4) -> int:
    number = 0
    for _ in range(times):
        number = add(path, number, 3)
        watch.look()
        clock(output.FRESH_S + 1)
        watch.look()
    return number


def everything(path: Path) -> bytes:
    return b"".join(Tail(path).pieces())


def test_beginning_and_newest_are_kept_and_the_rest_is_a_word(
    log: Path, clock: Callable[[float], None]
) -> None:
    number = flood(log, OutputWatch(log.parent, LIMIT), clock)
    cut = cut_of(log)
    assert cut is not None
    lines = everything(log).decode().splitlines()
    (word,) = [line for line in lines if not line.isdigit()]
    assert word.startswith("… ")
    assert word.endswith("MiB cut here: --max-output 1 MiB")
    numbers = [int(line) for line in lines if line.isdigit()]
    assert (numbers[0], numbers[-1]) == (0, number - 1)
    assert len(numbers) == len(lines) - 1, "whole lines on both sides of it"
    assert 10 * len(numbers) + cut.end - cut.start == log.stat().st_size


def test_the_disk_has_what_was_cut_back(log: Path, clock: Callable[[float], None]) -> None:
    flood(log, OutputWatch(log.parent, LIMIT), clock)
    assert log.stat().st_size > 10 * LIMIT
    assert log.stat().st_blocks * 512 <= LIMIT


def test_it_is_said_once(log: Path, clock: Callable[[float], None]) -> None:
    watch = OutputWatch(log.parent, LIMIT)
    said = []
    for _ in range(3):
        add(log, 0, 3)
        for _ in range(3):
            said.append(watch.look())
            clock(output.FRESH_S)
    assert len([words for words in said if words]) == 1


def test_output_below_the_limit_is_untouched(log: Path, clock: Callable[[float], None]) -> None:
    watch = OutputWatch(log.parent, 16 * MIB)
    flood(log, watch, clock)
    assert cut_of(log) is None
    assert everything(log) == log.read_bytes()
    assert sorted(log.parent.iterdir()) == [log]


def test_zeros_that_a_program_prints_are_no_cut(log: Path) -> None:
    log.write_bytes(bytes(5 * MIB) + b"end")
    os.truncate(log, 6 * MIB)
    assert everything(log) == log.read_bytes()


def test_what_is_fresh_is_left_to_those_who_follow(
    log: Path, clock: Callable[[float], None]
) -> None:
    watch, follower, seen = OutputWatch(log.parent, LIMIT), Tail(log), b""
    number = 0
    for _ in range(20):
        number = add(log, number, 1)
        watch.look()
        seen += b"".join(follower.pieces())
        clock(output.FRESH_S / 3)
    assert cut_of(log) is not None
    assert seen == log.read_bytes()[:0] + b"".join(LINE % each for each in range(number))


def test_one_who_lags_is_told_and_never_sees_a_hole(
    log: Path, clock: Callable[[float], None]
) -> None:
    watch, follower = OutputWatch(log.parent, LIMIT), Tail(log)
    add(log, 0, 2)
    first = follower.read(MIB)
    flood(log, watch, clock)
    rest = b"".join(follower.pieces())
    assert b"\0" not in rest
    assert rest.count(b"cut here") == 1
    assert first.endswith(b"\n")
    assert rest.startswith("… ".encode())


def test_several_files_share_the_limit(tmp_path: Path, clock: Callable[[float], None]) -> None:
    quiet, loud = tmp_path / "worker-0.log", tmp_path / "programs" / "train" / "stderr.log"
    loud.parent.mkdir(parents=True)
    quiet.write_bytes(b"a quiet word\n" * 1000)
    watch = OutputWatch(tmp_path, LIMIT)
    flood(loud, watch, clock)
    flood(tmp_path / "stdout.log", watch, clock)
    assert cut_of(quiet) is None
    held = sum(path.stat().st_blocks * 512 for path in tmp_path.rglob("*.log"))
    assert held <= LIMIT
    assert b"cut here" in everything(loud)


@pytest.mark.parametrize(
    ("sizes", "limit", "level"),
    [([10], 100, 100), ([200], 100, 100), ([10, 200], 100, 90), ([200, 200, 10], 100, 45)],
)
def test_small_files_are_kept_whole(sizes: list[int], limit: int, level: int) -> None:
    assert level_of(sizes, limit) == level
    assert sum(min(size, level) for size in sizes) <= limit


def test_a_file_system_that_cannot_cut_is_a_reason_to_end(
    log: Path, clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(cuts, "_punch", refuse)
    watch = OutputWatch(log.parent, LIMIT)
    flood(log, watch, clock, times=1)
    assert "cannot" in watch.failed
    assert cut_of(log) is None
    assert everything(log) == log.read_bytes()


def test_the_end_of_a_file_is_read_without_the_rest(
    log: Path, clock: Callable[[float], None]
) -> None:
    number = flood(log, OutputWatch(log.parent, LIMIT), clock)
    assert last_bytes(log, 20).decode().split() == [f"{number - 2:09}", f"{number - 1:09}"]
    assert b"\0" not in last_bytes(log, 100 * MIB)


def test_skipping_goes_on_at_a_line_near_the_end(log: Path) -> None:
    number = add(log, 0, 3)
    tail = Tail(log)
    skipped = tail.skip(keep_bytes=1005)
    rest = b"".join(tail.pieces())
    assert skipped + len(rest) == log.stat().st_size
    assert rest.split()[0] == b"%09d" % (number - 100)
    assert Tail(log).skip(keep_bytes=2 * MIB) == 0, "not worth it"


@pytest.mark.parametrize(
    ("pieces", "count", "last"),
    [
        ([b"a\nb\nc\n"], 2, b"b\nc\n"),
        ([b"a\nb", b"b\nc"], 2, b"bb\nc"),
        ([b"a\n"], 5, b"a\n"),
        ([b"a\n"], 0, b""),
        ([], 3, b""),
    ],
)
def test_last_lines_of_pieces(pieces: list[bytes], count: int, last: bytes) -> None:
    assert b"".join(_last(pieces, count)) == last
