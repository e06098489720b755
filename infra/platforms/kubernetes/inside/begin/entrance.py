"""The wrapper's side: a socket in the pod, where it is told to begin and what the program reads.

Frames come in: ``{"begin", "stdin"}``, the latter whether something will be passed on; ``{"ask"}``;
``{"offset", "bytes"}`` and the bytes; ``{"eof"}``; ``{"alive"}``. Answers go out: ``{"begun"}``;
once the program runs ``{"have"}``, how much it was given; ``{"closed"}`` when it reads no more.
Each piece is answered when it is in the program's pipe: who sends waits while the program does not
read, and after a lost connection both know where to go on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

from ebbtide.infra.platforms.kubernetes.inside.frames import (
    LARGEST_BYTES,
    Frames,
    frame,
    write_all,
)

NAME = "entrance"
"""Of the socket, in the folder of the program's output."""


class Entrance:
    """Of one program."""

    def __init__(self, folder: Path):
        self._begin, self._runs = threading.Event(), threading.Event()
        self._pipe: int | None = None
        self._have = 0
        self.has_stdin = False
        """Whether something will be passed on to the program; known when it may begin."""
        self._socket = socket.socket(socket.AF_UNIX)
        path = folder / NAME
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def wait(self) -> None:
        """Wait until the program may begin."""
        self._begin.wait()

    def give(self, pipe: int) -> None:
        """Write into this pipe what comes; the program has the other end of it."""
        self._pipe = pipe
        self._runs.set()

    def _serve(self) -> None:
        while True:
            asking, _ = self._socket.accept()
            threading.Thread(target=self._talk, args=(asking,), daemon=True).start()

    def _talk(self, asking: socket.socket) -> None:
        frames = Frames()
        with asking, contextlib.suppress(OSError, ValueError):
            while piece := asking.recv(LARGEST_BYTES):
                for header, data in frames.feed(piece):
                    answer = self._answer(header, data)
                    if answer:
                        asking.sendall(frame(answer))

    def _answer(self, header: dict[str, Any], data: bytes) -> dict[str, Any]:
        if "begin" in header:
            self.has_stdin = self.has_stdin or bool(header["stdin"])
            self._begin.set()
            return {"begun": True}
        if "alive" in header:
            return {}
        self._runs.wait()
        if "offset" in header:
            data = data[max(0, self._have - int(header["offset"])) :]
        return self._passed(data, over="eof" in header)

    def _passed(self, data: bytes, *, over: bool) -> dict[str, Any]:
        """Write to the program."""
        if self._pipe is None:
            return {"closed": True}
        try:
            write_all(self._pipe, data)
            self._have += len(data)
        except OSError:  # it has ended, or closed its standard input
            over = True
        if over:
            os.close(self._pipe)
            self._pipe = None
            return {"closed": True}
        return {"have": self._have}
