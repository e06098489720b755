"""The user's folder as a package: a gzipped tar whose bytes follow from what is in the folder.

Named by the SHA-256 of its bytes, so that the same folder is sent once, and nobody runs another.
Does not belong here: sending it (``sending``), and what is left out (``ignoring``).
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.kubernetes.shipping.ignoring import EBBIGNORE, Ignored

LIMIT_BYTES = 100 * 2**20
"""Of all files together, before they are compressed."""
_LARGEST_SHOWN = 4
_LEVEL = 4
_TIME = 315532800
"""Of every file: the first that zip files know."""
_ATTEMPTS = 3
ALTERNATIVES = (
    "put data into object storage and read it there (fsspec: s3://, gs://, abfs://), code into the"
    " image of the pool or a Git repository that the program installs from"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that has been made."""

    path: Path
    digest: str
    """SHA-256 of its bytes, in hex."""
    bytes_: int
    """Its own size."""
    files: int
    content_bytes: int
    """The size of all files in it."""


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    """In the package."""
    path: Path
    size: int = 0
    executable: bool = False
    link: str = ""
    """Of a symbolic link within the folder: where it leads."""


def pack(
    root: Path,
    into: Path,
    *,
    limit_bytes: int = LIMIT_BYTES,
    never: Iterable[Path] = (),
    needed: Iterable[str] = (),
) -> Package:
    """Pack a folder.

    Args:
        root: the folder.
        into: the folder that the package is put in, named by its digest.
        limit_bytes: how much may be in it.
        never: folders that are left out wherever they lie, such as ``EBB_HOME``.
        needed: paths in the root, relative to it, without which the program cannot run.

    Returns:
        The package; the file is the caller's to remove.

    Raises:
        ConfigurationError: PROGRAM_INVALID, it is too large, cannot be read, or what is needed is
            left out; with what to do.
    """
    root = root.resolve()
    entries = _entries(root, never)
    problems = [*_too_large(root, entries, limit_bytes), *_left_out(root, entries, needed)]
    if problems:
        raise ConfigurationError(problems)
    into.mkdir(parents=True, exist_ok=True)
    draft = into / f"package.{os.getpid()}"
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            digest = _write(draft, entries)
            break
        except OSError as error:
            draft.unlink(missing_ok=True)
            if attempt == _ATTEMPTS or not _has_changed(error):
                raise _unreadable(root, error) from error
            entries = _entries(root, never)
    path = draft.rename(into / digest)
    return Package(
        path=path,
        digest=digest,
        bytes_=path.stat().st_size,
        files=len(entries),
        content_bytes=sum(entry.size for entry in entries),
    )


def _has_changed(error: OSError) -> bool:
    """Whether a file went or became shorter while it was packed: then it is looked at again."""
    return isinstance(error, FileNotFoundError) or "end of data" in str(error)


def _unreadable(root: Path, error: OSError) -> ConfigurationError:
    where = f": {error.filename}" if error.filename else ""
    summary = f"the folder {root} cannot be sent: {error.strerror or error}{where}"
    hint = f"name what is not needed in {root / EBBIGNORE}"
    return ConfigurationError([_problem(summary, hint)])


def _entries(root: Path, never: Iterable[Path]) -> list[_Entry]:
    """All that is packed, in the order of its names."""
    left_out = tuple(path.resolve() for path in never)
    found = _found(root, root, "", Ignored(root), left_out)
    return sorted(found, key=lambda entry: entry.name)


def _found(
    root: Path, folder: Path, name: str, ignored: Ignored, never: tuple[Path, ...]
) -> Iterator[_Entry]:
    with os.scandir(folder) as listed:
        for each in listed:
            inner, path = f"{name}{each.name}", Path(each.path)
            is_folder = each.is_dir()
            if ignored(inner, is_folder=is_folder) or path.resolve() in never:
                continue
            link = _link_inside(root, path) if each.is_symlink() else ""
            if link:
                yield _Entry(inner, path, link=link)
            elif is_folder and not _is_loop(folder, path):
                yield from _found(root, path, f"{inner}/", ignored, never)
            elif not is_folder:
                yield from _file(inner, path)


def _file(name: str, path: Path) -> Iterator[_Entry]:
    try:
        found = path.stat()
    except OSError:  # a link that leads nowhere, or it has just gone
        return
    if stat.S_ISREG(found.st_mode):
        yield _Entry(name, path, found.st_size, bool(found.st_mode & stat.S_IXUSR))


def _link_inside(root: Path, path: Path) -> str:
    """Where a link leads when that is in the root and is there; else its content is packed."""
    target = path.resolve()
    if not target.is_relative_to(root) or target == root or not target.exists():
        return ""
    return os.path.relpath(target, path.parent)


def _is_loop(folder: Path, path: Path) -> bool:
    """Whether a link leads to a folder that it is in itself."""
    return path.is_symlink() and folder.resolve().is_relative_to(path.resolve())


def _write(draft: Path, entries: Iterable[_Entry]) -> str:
    """Write the package. Returns its digest."""
    with draft.open("wb") as file:
        hashed = _Hashed(file)
        with (
            gzip.GzipFile("", "wb", _LEVEL, fileobj=hashed, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for entry in entries:
                _add(tar, entry)
    return hashed.digest


def _add(tar: tarfile.TarFile, entry: _Entry) -> None:
    info = tarfile.TarInfo(entry.name)
    info.mtime = _TIME
    info.mode = 0o755 if entry.executable or entry.link else 0o644
    if entry.link:
        info.type, info.linkname = tarfile.SYMTYPE, entry.link
        tar.addfile(info)
        return
    with entry.path.open("rb") as source:
        info.size = os.fstat(source.fileno()).st_size
        tar.addfile(info, source)


class _Hashed:
    """A file that is hashed while it is written."""

    def __init__(self, file: IO[bytes]):
        self._file, self._hash = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()


def _too_large(root: Path, entries: list[_Entry], limit_bytes: int) -> Iterator[Problem]:
    total = sum(entry.size for entry in entries)
    if total <= limit_bytes:
        return
    sizes = Counter[str]()
    for entry in entries:
        top, slash, _ = entry.name.partition("/")
        sizes[top + slash] += entry.size
    largest = ", ".join(
        f"{name} {format_memory(size)}" for name, size in sizes.most_common(_LARGEST_SHOWN)
    )
    summary = (
        f"the folder {root} has {format_memory(total)} in {len(entries)} files, and at most"
        f" {format_memory(limit_bytes)} are sent to the cluster; largest: {largest}"
    )
    yield _problem(summary, f"name what is not needed in {EBBIGNORE}; or {ALTERNATIVES}")


def _left_out(root: Path, entries: list[_Entry], needed: Iterable[str]) -> Iterator[Problem]:
    names = {entry.name for entry in entries}
    for name in needed:
        if name not in names and (root / name).exists():
            summary = f"{name} is not sent to the cluster: an ignore file leaves it out"
            yield _problem(summary, f"add a line !{name} to {root / EBBIGNORE}")


def _problem(summary: str, hint: str) -> Problem:
    return Problem(Reason.PROGRAM_INVALID, summary, hint)
