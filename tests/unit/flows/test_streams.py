"""Bytes of a program on whatever stands for a standard stream."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

from ebbtide.flows.cli.streams import ByteWriter, TextConsole


def test_stream_of_bytes_takes_them_unchanged(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    ByteWriter("stdout").write(b"\xff\x00 no text\n")
    assert capsysbinary.readouterr().out == b"\xff\x00 no text\n"


def test_stream_of_text_takes_them_decoded() -> None:
    writer = ByteWriter("stdout")
    with redirect_stdout(io.StringIO()) as text:
        writer.write("fünf\n".encode())
    assert text.getvalue() == "fünf\n"


def test_character_cut_in_two_is_one_character_of_text() -> None:
    writer, data = ByteWriter("stdout"), "ü".encode()
    with redirect_stdout(io.StringIO()) as text:
        writer.write(data[:1])
        writer.write(data[1:])
    assert text.getvalue() == "ü"


def test_closed_pipe_is_an_error_and_not_the_end_of_the_process() -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        TextConsole(Closed()).print("words")
