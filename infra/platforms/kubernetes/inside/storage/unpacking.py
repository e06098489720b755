"""Unpacks packages of code, and nothing outside of their folder."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO


class PackageError(Exception):
    """There is no package, or it is not what it should be; says so for people."""

    def __init__(self, why: str, *, later: bool = True):
        super().__init__(why)
        self.later = later
        """Whether another try may do."""


def unpack(package: IO[bytes], folder: Path) -> None:
    """Unpack a package into a folder.

    Raises:
        PackageError: it is none, or it would write elsewhere.
    """
    try:
        with tarfile.open(fileobj=package, mode="r:*") as tar:
            tar.extraction_filter = _as_it_is
            tar.extractall(folder, members=_safe(tar))
    except tarfile.TarError as error:
        raise PackageError(f"this is no package: {error}") from error


def _as_it_is(member: tarfile.TarInfo, _: str) -> tarfile.TarInfo:
    """Each was judged by ``_safe``, also where Python is too old to have filters (3.11.2)."""
    return member


def _safe(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        target = PurePosixPath(member.name)
        if member.issym():
            target = target.parent / member.linkname
        elif not (member.isreg() or member.isdir()):
            raise PackageError(f"{member.name} is neither a file nor a folder")
        if PurePosixPath(member.name).is_absolute() or not _inside(target):
            raise PackageError(f"{member.name} would be outside of the folder")
        yield member


def _inside(path: PurePosixPath) -> bool:
    depth = 0
    for part in path.parts:
        depth += -1 if part == ".." else 1
        if depth < 0 or part == "/":
            return False
    return True
