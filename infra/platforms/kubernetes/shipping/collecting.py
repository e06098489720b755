"""What a program printed and wrote, brought here from the container ``files`` by exec."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.inside.frames import Frames
from ebbtide.infra.platforms.kubernetes.shipping.sending import Run, Running, patiently
from ebbtide.infra.waiting import now_s, pause

_SIGN_OF_LIFE_S = 10.0
_SILENT_S = 30.0
"""Without even a sign of life for so long, the connection is taken for lost."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some of what a program printed."""

    stream: str
    """``stdout`` or ``stderr``."""
    offset: int
    """Of the first byte, or of the first that is missing."""
    data: bytes = b""
    gap: int = 0
    """How many bytes are missing here, because the bounded copy has lost them."""

    @property
    def until(self) -> int:
        """The offset from which the stream goes on."""
        return self.offset + self.gap + len(self.data)


@dataclass(slots=True)
class Followed:
    """How far somebody has followed a program's output; may be kept and taken up again."""

    offsets: dict[str, int] = field(default_factory=lambda: {"stdout": 0, "stderr": 0})
    end: Mapping[str, Any] | None = None
    """What the wrapper said last (see ``inside.program``); empty: it was killed. None: it runs."""
    quiet: bool = False
    """Whether all that there was has come at some time."""

    def took(self, piece: Piece) -> None:
        """Go on behind a piece."""
        self.offsets[piece.stream] = piece.until


def follow(run: Run, pod: str, seen: Followed) -> Iterator[Piece | None]:
    """Yield what a program prints from where somebody has come to, on one connection, to its end.

    Args:
        run: ``Api.run``.
        pod: the driver's; its container ``files`` runs.
        seen: where to begin; brought up to date before each piece is yielded.

    Yields:
        Pieces; None while there is nothing new, at least every few seconds.

    Raises:
        ApiError: the connection was lost; ask again with the same ``seen``, and nothing is lost or
            repeated.
    """
    options = [f"--{name}={offset}" for name, offset in seen.offsets.items()]
    argv = layout.module("stream", str(layout.LOG), *options)
    with run(pod, layout.FILES, argv) as stream:
        for header, data in _frames(stream, f"exec in {pod}", signs=True):
            if header is None:
                yield None
            elif "alive" in header:
                seen.quiet = True
                yield None
            elif "end" in header:
                seen.quiet, seen.end = True, header["end"]
                return
            else:
                piece = Piece(
                    stream=header["stream"],
                    offset=int(header["offset"]),
                    data=data,
                    gap=int(header.get("gap", 0)),
                )
                seen.took(piece)
                yield piece


def follow_to_end(
    run: Run, pod: str, seen: Followed, gave_up: Callable[[ApiError | None], bool]
) -> Iterator[Piece | None]:
    """Yield what a program prints, over as many connections as it takes.

    Args:
        run: ``Api.run``.
        pod: the driver's.
        seen: where to begin, and where it has come to.
        gave_up: asked after each piece, with None, and when a connection was lost, with the error;
            true when nobody needs more.

    Yields:
        As ``follow`` does. When it ends without ``seen.end``, it was given up.
    """
    wait_s = _FIRST_PAUSE_S
    while seen.end is None:
        try:
            for piece in follow(run, pod, seen):
                wait_s = _FIRST_PAUSE_S
                yield piece
                if gave_up(None):
                    return
        except ApiError as error:
            if gave_up(error):
                return
            yield None
            pause(wait_s)
            wait_s = min(_LONGEST_PAUSE_S, wait_s * 2)


def fetch_folder(
    run: Run,
    pod: str,
    container: str,
    folder: str,
    target: Path,
    *,
    log: str = "",
) -> int:
    """Bring a folder of a pod here: files that are here and not there stay.

    Args:
        run: ``Api.run``.
        pod: its name.
        container: one that has the folder; ``layout.FILES`` of head and driver, ``worker`` of a
            worker.
        folder: in the container, such as ``layout.OUTPUT``.
        target: where it is put; made when there is something to put.
        log: where it is noted that with this folder all has been taken; empty: it is not.

    Returns:
        How many files came.

    Raises:
        ApiError: the connection was lost; what came until then is there.
        OSError: it cannot be written here.
    """
    arguments = (folder, log) if log else (folder,)
    return patiently(lambda: _fetched(run, (pod, container), arguments, target), _PATIENCE_S)


def _fetched(run: Run, where: tuple[str, str], arguments: tuple[str, ...], target: Path) -> int:
    """Bring all of a folder, once. Returns how many files came."""
    pod, container = where
    with run(pod, container, layout.module("archive", *arguments)) as archive:
        source = _Archive(archive, f"exec in {pod}")
        count = 0
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if not member.isreg() or name.is_absolute() or ".." in name.parts:
                    continue
                _put(tar, member, target / name)
                count += 1
        source.finish()
    return count


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write one file all at once, for this user only."""
    source = tar.extractfile(member)
    assert source is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        while data := source.read(2**20):
            file.write(data)
    draft.chmod(member.mode & 0o700 | 0o600)
    draft.replace(path)


class _Archive(io.RawIOBase):
    """The bytes of the archive, as tarfile reads them."""

    def __init__(self, archive: Running, asked: str):
        self._frames, self._asked, self._held = _frames(archive, asked), asked, b""
        self._over = False

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return so many bytes; fewer only at the end."""
        while not self._over and (size < 0 or len(self._held) < size):
            header, data = next(self._frames, ({"end": None}, b""))
            if header is not None and "end" in header:
                self._over = True
                if header["end"] is None:
                    raise ApiError(0, "Interrupted", "the archive broke off", asked=self._asked)
            self._held += data
        taken = self._held if size < 0 else self._held[:size]
        self._held = self._held[len(taken) :]
        return taken

    def finish(self) -> None:
        """Make sure that the archive came to its end."""
        while not self._over:
            self.read(2**16)


def _frames(
    running: Running, asked: str, *, signs: bool = False
) -> Iterator[tuple[dict[str, Any] | None, bytes]]:
    """Yield frames, and None for a header while nothing comes.

    Args:
        running: the command.
        asked: what was asked, for errors.
        signs: whether the command wants signs of life.

    Yields:
        Header and bytes.

    Raises:
        ApiError: the command ended without a last frame, or nothing comes any more.
    """
    frames, heard_s, signed_s = Frames(), now_s(), now_s()
    while True:
        if signs and now_s() - signed_s >= _SIGN_OF_LIFE_S:
            running.write(b".")
            signed_s = now_s()
        piece = running.read(1.0)
        if piece is None:
            raise ApiError(0, "Interrupted", running.errors.strip() or "it ended", asked=asked)
        if piece:
            heard_s = now_s()
            yield from frames.feed(piece)
        elif now_s() - heard_s > _SILENT_S:
            raise ApiError(0, "Interrupted", "nothing comes any more", asked=asked)
        else:
            yield None, b""
