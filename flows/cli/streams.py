"""Standard streams as they really are: a terminal, a pipe whose reader has gone, a notebook."""

from __future__ import annotations

import codecs
import os
import select
import sys
from typing import IO, Literal

from rich.console import Console

StreamName = Literal["stdout", "stderr"]


class ByteWriter:
    """Writes bytes to ``sys.stdout`` or ``sys.stderr``, whatever that is when it is called.

    A stream of this process takes the bytes as they are. Streams that take only text (Jupyter's,
    ``io.StringIO`` under ``contextlib.redirect_stdout``) get them decoded as UTF-8; a character
    that is cut in two by a write is kept until its second half comes.
    """

    def __init__(self, name: StreamName):
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> None:
        """Write and flush.

        Raises:
            BrokenPipeError: whoever read the stream has closed it.
        """
        stream = getattr(sys, self._name)
        stream.flush()
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(self._decoder.decode(data))
            stream.flush()
        else:
            buffer.write(data)
            buffer.flush()


class TextConsole(Console):
    """Rich's console for plain lines of text, also in a notebook; markup is shown as it is."""

    def __init__(
        self,
        file: IO[str] | None = None,
        *,
        soft_wrap: bool = False,
        record: bool = False,
        width: int | None = None,
    ):
        super().__init__(
            file=file,
            highlight=False,
            markup=False,
            soft_wrap=soft_wrap,
            force_jupyter=False,
            record=record,
            width=width,
        )

    @property
    def is_live(self) -> bool:
        """Whether lines can be replaced: on a terminal, whatever FORCE_COLOR says in a notebook."""
        isatty = getattr(self.file, "isatty", None)
        return isatty is not None and isatty() and self.is_terminal and not self.is_dumb_terminal

    def on_broken_pipe(self) -> None:
        """The error goes on: Rich would end the process with exit code 1."""
        raise  # noqa: PLE0704  called while a BrokenPipeError is handled


def silence_closed_pipes() -> None:
    """Lead standard streams whose reader has gone to the null device: what follows is dropped.

    Without it every later write, and Python's own flush at exit, would raise BrokenPipeError.
    """
    for file_number in (1, 2):
        if _reader_has_gone(file_number):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, file_number)
            os.close(null)


def _reader_has_gone(file_number: int) -> bool:
    watch = select.poll()
    watch.register(file_number, 0)  # errors are told unasked
    return any(events & select.POLLERR for _, events in watch.poll(0))
