"""Receives a package of code: run by exec in ``files``, with the package on its standard input.

There is no end of file on that: a first line says what comes. Whoever sends is told whether it is
wanted, and when it is there, whole and right.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ebbtide.infra.platforms.kubernetes.inside.frames import SILENCE_S, wait_for_reader
from ebbtide.infra.platforms.kubernetes.inside.storage.unpacking import PackageError, unpack

_CHUNK_BYTES = 2**16


def main(packages: Path, folder: Path) -> int:
    """Receive one package.

    Args:
        packages: the store's folder.
        folder: where it is unpacked too, if there is such a folder.

    Returns:
        The exit code.
    """
    signal.alarm(SILENCE_S)
    header = json.loads(_line())
    digest, size = str(header["digest"]), int(header["bytes"])
    if not digest.isalnum():
        return _refuse("no digest")
    there = packages / digest
    if there.exists():
        _say(want=False, received=size)
        return 0
    _say(want=True)
    why = _keep(packages / f"{digest}.{os.getpid()}", there, size, folder)
    if why:
        return _refuse(why)
    _say(received=size)
    return 0


def _keep(draft: Path, there: Path, size: int, folder: Path) -> str:
    """Write what comes, and put it there when it is right. Returns why it was not."""
    try:
        found = _write(draft, size)
        if found != there.name:
            return f"what came is another package: {found}"
        if folder.is_dir():
            with draft.open("rb") as package:
                unpack(package, folder)
        draft.rename(there)
    except (OSError, PackageError) as error:
        return str(error)
    finally:
        draft.unlink(missing_ok=True)
    return ""


def _write(draft: Path, size: int) -> str:
    """Write what comes. Returns its digest."""
    found, left = hashlib.sha256(), size
    with draft.open("wb") as file:
        while left:
            piece = os.read(0, min(left, _CHUNK_BYTES))
            if not piece:
                raise PackageError(f"{left} bytes did not come")
            signal.alarm(SILENCE_S)
            found.update(piece)
            file.write(piece)
            left -= len(piece)
    return found.hexdigest()


def _line() -> bytes:
    """The first line, and not a byte more."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def _refuse(why: str) -> int:
    _say(error=why)
    return 1


if __name__ == "__main__":
    status = main(Path(sys.argv[1]), Path(sys.argv[2]))
    wait_for_reader()
    sys.exit(status)
