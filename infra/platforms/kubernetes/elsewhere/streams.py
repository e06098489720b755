"""Logs of a run that was begun on another machine: from its pods, or what its records hold."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from ebbtide.infra.files.private import private_opener
from ebbtide.infra.files.tails import PIECE_BYTES, Tail
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.tending.output import STREAMS, OutputCopy
from ebbtide.infra.waiting import pause, wait_until

_FIRST_S = 15.0
"""For how long the output is waited for: it is there, and takes as long as a connection does."""
_SILENT_S = 3600.0
_AGAIN_S = 2.0
_NOT_YET = 400
"""What the API server answers while a container is made."""


class Held:
    """A text that is there and grows no more."""

    def __init__(self, text: bytes):
        self._text, self._offset = text, 0

    def read(self, max_bytes: int = PIECE_BYTES) -> bytes:
        """Return what has not been read."""
        found = self._text[self._offset : self._offset + max_bytes]
        self._offset += len(found)
        return found

    def pieces(self) -> Iterator[bytes]:
        """All of it."""
        while data := self.read():
            yield data

    def skip(self, keep_bytes: int) -> int:
        """Go on with the last so many bytes, from the beginning of a line."""
        target = len(self._text) - keep_bytes
        if target - self._offset < keep_bytes:
            return 0
        target += self._text[target:].find(b"\n") + 1
        skipped, self._offset = target - self._offset, target
        return skipped


class _Copied(Tail):
    """A copy that a thread makes; the first who reads waits until it has come up with the pod."""

    def __init__(self, path: Path, copy: Copies):
        super().__init__(path)
        self._copy = copy

    def read(self, max_bytes: int = PIECE_BYTES) -> bytes:
        """Return what is new."""
        self._copy.come_up()
        return super().read(max_bytes)

    def skip(self, keep_bytes: int) -> int:
        """Go on with the last so many bytes."""
        self._copy.come_up()
        return super().skip(keep_bytes)


class Copies:
    """A program's output, followed in its pod for as long as somebody reads it here."""

    def __init__(self, api: Api, pod: str):
        """Ask nothing yet.

        Args:
            api: of the namespace.
            pod: the program's.
        """
        self._api, self._pod = api, pod
        self._folder = _folder_for(self)
        self._copy: OutputCopy | None = None

    def streams(self) -> dict[str, Tail]:
        """By their names."""
        return {name: _Copied(self._folder / f"{name}.log", self) for name in STREAMS}

    def come_up(self) -> None:
        """Begin; wait until what there is now has come, or cannot be read for now."""
        if self._copy is None:
            self._copy = OutputCopy(self._api, self._pod, self._folder, _tell_nobody)
            copy = self._copy
            wait_until(lambda: copy.settled, timeout_s=_FIRST_S)


class MemberLog(Tail):
    """What head or a worker prints: what there is, and, for whoever asks again, what comes."""

    def __init__(self, api: Api, pod: str, container: str, before: Path | None = None):
        """Ask nothing yet.

        Args:
            api: of the namespace.
            pod: its name.
            container: in it.
            before: what is kept of containers that this one has replaced; None: nothing is.
        """
        self._file = _folder_for(self) / "log"
        self._api, self._pod, self._container = api, pod, container
        self._asked, self._have, self._before = False, 0, before
        self._thread: threading.Thread | None = None
        super().__init__(self._file)

    def read(self, max_bytes: int = PIECE_BYTES) -> bytes:
        """Return what is new."""
        self._ask()
        return super().read(max_bytes)

    def pieces(self) -> Iterator[bytes]:
        """All there is now; asked again, the log is followed from there on."""
        if self._asked and self._thread is None:
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()
        yield from super().pieces()

    def skip(self, keep_bytes: int) -> int:
        """Go on with the last so many bytes."""
        self._ask()
        return super().skip(keep_bytes)

    def _ask(self) -> None:
        """Read what there is, once."""
        if not self._asked:
            self._asked = True
            if self._before is not None:
                with contextlib.suppress(OSError):
                    shutil.copyfile(self._before, self._file)
            with contextlib.suppress(ApiError, OSError):
                for piece in self._api.logs(self._pod, self._container):
                    self._put(piece)

    def _follow(self) -> None:
        with contextlib.suppress(OSError):
            while not self._followed():
                pause(_AGAIN_S)

    def _followed(self) -> bool:
        """Follow it once, behind what is there. Returns whether it has ended."""
        there = 0
        try:
            follow = {"follow": "true"}
            log = self._api.logs(self._pod, self._container, follow, timeout_s=_SILENT_S)
            for piece in log:
                there += len(piece)
                if there > self._have:
                    self._put(piece[-(there - self._have) :])
        except ApiError as error:
            return not (error.passing or error.status == _NOT_YET)
        return True

    def _put(self, piece: bytes) -> None:
        with open(self._file, "ab", opener=private_opener) as file:
            file.write(piece)
        self._have += len(piece)


def _folder_for(owner: object) -> Path:
    """A private folder that goes with its owner."""
    folder = tempfile.mkdtemp(prefix="ebb-logs-")
    weakref.finalize(owner, shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _tell_nobody(message: str) -> None:
    """Who only looks is told nothing of an outage."""
