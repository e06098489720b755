"""Tells a program in its pod to begin, and passes on what it reads: a file of this process.

The file is read a piece at a time, each when the program has taken the one before into its pipe.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from typing import Any

from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.inside.begin.entrance import NAME
from ebbtide.infra.platforms.kubernetes.inside.frames import LARGEST_BYTES, Frames, frame
from ebbtide.infra.platforms.kubernetes.shipping.sending import Run, Running
from ebbtide.infra.waiting import now_s

_SIGN_OF_LIFE_S = 10.0
_LOOK_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


class Beginning:
    """Of one program; a thread until it has been told, and has all that it reads."""

    def __init__(self, run: Run, pod: str, file: int | None):
        """Begin.

        Args:
            run: ``Api.run``.
            pod: the program's; its container ``files`` runs.
            file: what the program reads, closed when all is over; None: nothing.
        """
        self._run, self._pod, self._file = run, pod, file
        self._stopped = threading.Event()
        self._held, self._held_at = b"", 0
        self._pause_s = _FIRST_PAUSE_S
        self._thread = threading.Thread(target=self._work, name=f"begin {pod}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The program has ended, or is about to be."""
        self._stopped.set()

    def _work(self) -> None:
        try:
            while not self._stopped.is_set():
                with contextlib.suppress(ApiError):  # also: the wrapper does not listen yet
                    self._talk()
                    return
                self._stopped.wait(self._pause_s)
                self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
        finally:
            if self._file is not None:
                os.close(self._file)

    def _talk(self) -> None:
        argv = layout.module("begin.relay", str(layout.LOG / NAME))
        with self._run(self._pod, layout.FILES, argv) as relay:
            talk = _Talk(relay, self._pod, self._stopped)
            talk.ask({"begin": True, "stdin": self._file is not None})
            if self._file is not None:
                self._pass_on(talk, self._file)

    def _pass_on(self, talk: _Talk, file: int) -> None:
        told = talk.ask({"ask": True})
        while "have" in told and not self._stopped.is_set():
            if int(told["have"]) >= self._held_at + len(self._held):
                if not _readable(file):
                    talk.say_alive()
                    continue
                self._held_at += len(self._held)
                self._held = os.read(file, LARGEST_BYTES)
            if not self._held:
                talk.ask({"eof": True})
                return
            told = talk.ask({"offset": self._held_at}, self._held)
            self._pause_s = _FIRST_PAUSE_S


class _Talk:
    """Questions and answers on one connection."""

    def __init__(self, relay: Running, pod: str, stopped: threading.Event):
        self._relay, self._pod, self._stopped = relay, pod, stopped
        self._frames = Frames()
        self._signed_s = now_s()

    def ask(self, header: dict[str, Any], data: bytes = b"") -> dict[str, Any]:
        """Return the answer; empty when nobody waits for it any more.

        Raises:
            ApiError: the connection was lost.
        """
        self._relay.write(frame(header, data))
        while not self._stopped.is_set():
            self.say_alive()
            piece = self._relay.read(_LOOK_S)
            if piece is None:
                why = self._relay.errors.strip() or "it ended"
                raise ApiError(0, "Interrupted", why, asked=f"exec in {self._pod}")
            for answer, _ in self._frames.feed(piece):
                return answer
        return {}

    def say_alive(self) -> None:
        """Now and then."""
        if now_s() - self._signed_s >= _SIGN_OF_LIFE_S:
            self._signed_s = now_s()
            self._relay.write(frame({"alive": True}))


def _readable(file: int) -> bool:
    """Whether there is something to read, or the end; waits a moment."""
    return bool(select.select([file], [], [], _LOOK_S)[0])
