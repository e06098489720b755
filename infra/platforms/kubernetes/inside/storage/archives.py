"""Fetches an archive of code from a URL: run with the environment of the program.

    python -P -m ….inside.storage.archives CODE FOLDER

It prints one line of JSON: ``error`` is empty, or why it was not done; ``later`` says whether
another try may do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import IO

from ebbtide.infra.models.job import CodeSource, code_source
from ebbtide.infra.platforms.kubernetes.inside.storage.unpacking import PackageError, unpack

try:
    import fsspec
except ImportError:  # the image's own affair
    fsspec = None

_CHUNK_BYTES = 2**20
_NOTE = ".ebb-fetched"
"""In the folder of the code, once all is there."""
_LONGEST = 500


_IN_VAIN = (FileNotFoundError, PermissionError, ImportError, ValueError, PackageError)
"""What stays as it is, however often it is tried."""


def main(code: str, folder: str) -> tuple[str, bool]:
    """Return why it was not done, and whether another try may do; empty: it was done."""
    source = code_source(code)
    if fsspec is None or source is None:
        return "the image has no package fsspec", False
    note = Path(folder, _NOTE)
    try:
        if note.exists():  # the container was started again, and its pod has it
            return "", False
        with tempfile.TemporaryFile() as whole:
            _fetch(source, whole)
            _place(source, whole, Path(folder))
        note.touch()
    except Exception as error:  # of whatever package: it is told
        said = " ".join(str(error).split()) or "it says nothing"
        return f"{type(error).__name__}: {said}"[:_LONGEST], not isinstance(error, _IN_VAIN)
    return "", False


def _fetch(source: CodeSource, whole: IO[bytes]) -> None:
    found = hashlib.sha256()
    with fsspec.open(source.url, "rb") as remote:
        while piece := remote.read(_CHUNK_BYTES):
            found.update(piece)
            whole.write(piece)
    if source.sha256 and found.hexdigest() != source.sha256:
        raise ValueError(f"it is another archive, with SHA-256 {found.hexdigest()}")
    whole.seek(0)


def _place(source: CodeSource, whole: IO[bytes], folder: Path) -> None:
    if not source.subdirectory:
        _unpack(whole, folder)
        return
    with tempfile.TemporaryDirectory() as scratch:
        _unpack(whole, Path(scratch))
        part = Path(scratch, source.subdirectory)
        if not part.is_dir():
            raise ValueError(f"there is no folder {source.subdirectory} in it")
        for each in part.iterdir():  # the folder itself is a mount of the kubelet's
            if each.is_dir() and not each.is_symlink():
                shutil.copytree(each, folder / each.name, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(each, folder / each.name, follow_symlinks=False)


def _unpack(whole: IO[bytes], folder: Path) -> None:
    if zipfile.is_zipfile(whole):
        with zipfile.ZipFile(whole) as archive:
            archive.extractall(folder)
        return
    whole.seek(0)
    unpack(whole, folder)


if __name__ == "__main__":
    error, later = main(*sys.argv[1:])
    print(json.dumps({"error": error, "later": later}), flush=True)
    os._exit(0)  # whatever threads a package has left
