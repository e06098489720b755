"""Brings a folder to a URL: run by the program's wrapper, with the environment of the program.

    python -P -m ….inside.storage.outputs URL [FOLDER]

Without a folder it only finds out whether it could. It prints one line of JSON: how many files and
bytes were brought there, or why not.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ebbtide.infra.platforms.kubernetes.inside.storage.storing import STALLED_S

try:
    import fsspec
    from fsspec.asyn import AsyncFileSystem
    from fsspec.callbacks import Callback
except ImportError:  # the image's own affair
    fsspec, Callback = None, object

_LONGEST = 500


class _Progress(Callback):  # type: ignore[misc]
    """Puts the alarm off whenever some bytes have gone; in a thread of fsspec's too."""

    def call(self, hook_name: str | None = None, **more: Any) -> None:
        """Something went on."""
        del hook_name, more
        signal.alarm(STALLED_S)

    def branched(self, path_1: str, path_2: str, **more: Any) -> _Progress:
        """Of one file: the same."""
        del path_1, path_2, more
        return _Progress()


def main(url: str, folder: str = "") -> dict[str, Any]:
    """Return what was done, or ``{"error": …}``."""
    if fsspec is None:
        return {"error": "the image has no package fsspec"}
    signal.alarm(STALLED_S)
    try:
        system, root = fsspec.core.url_to_fs(url)
        if not isinstance(system, AsyncFileSystem):  # an object store has no folders
            system.makedirs(root, exist_ok=True)
        return _put(system, root.rstrip("/"), Path(folder)) if folder else {}
    except Exception as error:  # of whatever package: it is told, and the program's end too
        return {"error": _sentence(error)}


def _put(system: Any, root: str, folder: Path) -> dict[str, int]:
    found = list(_files(folder))
    theirs = [f"{root}/{path.relative_to(folder).as_posix()}" for path in found]
    sizes = [path.stat().st_size for path in found]
    if found:
        for parent in {os.path.dirname(each) for each in theirs}:
            if not isinstance(system, AsyncFileSystem):
                system.makedirs(parent, exist_ok=True)
        system.put([str(path) for path in found], theirs, callback=_Progress())
    return {"files": len(found), "bytes": sum(sizes)}


def _files(folder: Path) -> Iterator[Path]:
    """All files of a folder; a link is not followed."""
    for where, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _sentence(error: Exception) -> str:
    said = " ".join(str(error).split()) or "no words"
    return f"{type(error).__name__}: {said}"[:_LONGEST]


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])), flush=True)
    os._exit(0)  # whatever threads a package has left
