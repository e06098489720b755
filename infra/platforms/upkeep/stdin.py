"""The standard input of whoever started a run, for its program: the open file itself.

The file goes from one process to another through a socket in the run's folder. So the program
reads as it would without us: nothing is read that it does not read, byte for byte, to the end, and
who writes into a pipe waits while the program does not read. Each attempt's program is given it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

from ebbtide.infra.files.private import write_whole

_DOOR, _NOTE = "stdin", "stdin.json"
_ANSWER_TIMEOUT_S = 5.0
NOT_ANSWERED = "the program has no stdin: the process that passes it on did not answer"


@contextlib.contextmanager
def handed_over(folder: Path, file: int) -> Iterator[None]:
    """Give this file, as long as the block lasts, to the program of the run with this folder."""
    with _short(folder) as short, socket.socket(socket.AF_UNIX) as door:
        (folder / _DOOR).unlink(missing_ok=True)
        os.fchmod(door.fileno(), 0o600)
        door.bind(f"{short}/{_DOOR}")
        door.listen()
        thread = threading.Thread(target=_hand_over, args=(door, file), daemon=True)
        thread.start()
        try:
            yield
        finally:
            (folder / _DOOR).unlink(missing_ok=True)
            door.shutdown(socket.SHUT_RDWR)
            thread.join()


def _hand_over(door: socket.socket, file: int) -> None:
    while True:
        try:
            asking, _ = door.accept()
        except OSError:  # shut
            return
        with asking, contextlib.suppress(OSError):
            socket.send_fds(asking, [b"0"], [file])


def is_offered(folder: Path) -> bool:
    """Whether somebody hands a file over to the run with this folder."""
    return (folder / _DOOR).exists()


def taken(folder: Path) -> int | None:
    """The file that is handed over, now this process's to close; None when nobody does.

    Raises:
        TimeoutError: who wanted to does not answer.
    """
    with _short(folder) as short, socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(_ANSWER_TIMEOUT_S)
        try:
            asking.connect(f"{short}/{_DOOR}")
            _, files, _, _ = socket.recv_fds(asking, 1, 1)
        except TimeoutError:
            raise
        except OSError:  # there is no such socket, or who made it has gone
            return None
    return files[0] if files else None


def begin_anew(folder: Path, file: int) -> str:
    """Let a fresh attempt's program read a file from where the first one's began to.

    Args:
        folder: of the run.
        file: that was taken.

    Returns:
        What is to be told of it; empty when there is nothing.
    """
    note = folder / _NOTE
    kind = os.fstat(file).st_mode
    try:
        begun = json.loads(note.read_text())
    except (OSError, ValueError):
        start = os.lseek(file, 0, os.SEEK_CUR) if stat.S_ISREG(kind) else None
        with contextlib.suppress(OSError):  # a full disk: this attempt can do without
            write_whole(note, json.dumps({"start": start}))
        return ""
    if stat.S_ISREG(kind) and begun["start"] is not None:
        os.lseek(file, begun["start"], os.SEEK_SET)
    elif not stat.S_ISCHR(kind):
        return "what the attempt before has read of stdin is gone: this one reads on"
    return ""


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path of this folder that is short enough for sockets (107 bytes), in this process only."""
    opened = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{opened}"
    finally:
        os.close(opened)
