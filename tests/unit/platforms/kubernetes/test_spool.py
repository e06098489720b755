"""The bounded copy of an output: every byte at its offset, whoever reads it and when."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ebbtide.infra.platforms.kubernetes.inside.frames import Frames, frame
from ebbtide.infra.platforms.kubernetes.inside.spool import Spool, SpoolReader, segments


def everything(reader: SpoolReader) -> tuple[int, bytes]:
    gaps, found = 0, b""
    while True:
        gap, data = reader.read(7)
        gaps, found = gaps + gap, found + data
        if not data and not gap:
            return gaps, found


def test_reader_that_keeps_up_misses_nothing_over_many_segments(tmp_path: Path) -> None:
    spool, reader = Spool(tmp_path, 64), SpoolReader(tmp_path)
    found = b""
    for number in range(100):
        spool.write(f"{number},".encode())
        found += everything(reader)[1]
    assert found == b"".join(f"{number},".encode() for number in range(100))


def test_reader_before_anything_is_written_waits(tmp_path: Path) -> None:
    assert SpoolReader(tmp_path / "later").read() == (0, b"")


def test_gap_and_bytes_together_are_all_that_was_written(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64)
    spool.write(b"x" * 1000)
    gap, found = everything(SpoolReader(tmp_path))
    assert (gap + len(found), 48 <= len(found) <= 64) == (1000, True)


def test_copy_takes_no_more_room_than_its_limit(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64)
    for _ in range(100):
        spool.write(b"y" * 9)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 64


def test_segment_that_is_gone_in_the_middle_is_a_gap(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 64)
    spool.write(b"0123456789ab")
    (tmp_path / f"{segments(tmp_path)[1]:020d}").unlink()
    assert everything(SpoolReader(tmp_path)) == (4, b"012389ab")


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=20))), st.integers(1, 7))
def test_frames_in_pieces_of_any_size_are_what_was_sent(
    sent: list[tuple[int, bytes]], size: int
) -> None:
    text = b"".join(frame({"offset": offset}, data) for offset, data in sent)
    frames = Frames()
    found = [
        (header["offset"], data)
        for start in range(0, len(text), size)
        for header, data in frames.feed(text[start : start + size])
    ]
    assert found == sent
