"""The user's folder as a package: a gzipped tar whose bytes follow from what is in the folder.

Named by the SHA-256 of its bytes, so that the same folder is sent once, and nobody runs another.
Does not belong here: sending it (``sending``), and what is left out (``ignoring``).
"""

from __future__ import annotations

import contextlib
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

from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.files.room import disk_full, is_full
from ebbtide.infra.models.job import CODE_LIMIT_BYTES
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.kubernetes.shipping.ignoring import EBBIGNORE, Ignored

_LARGEST_SHOWN = 4
_LEVEL = 4
_TIME = 315532800
"""Of every file: the first that zip files know."""
_ATTEMPTS = 3
MAX_FILES = 50_000
"""A folder with more is somebody's home, or has data in it."""
_SMALLER = (
    f"name what is not needed in {EBBIGNORE}; or let more be sent (--code-limit 500Mi, also under"
    " run in ebb.yaml); or put data into object storage and read it there (fsspec: s3://, gs://,"
    " abfs://), and code into the image of the pool, or an archive that pods fetch (--code URL)"
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
    """One file, or a link within the folder."""

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
    limit_bytes: int = CODE_LIMIT_BYTES,
    never: Iterable[Path] = (),
    needed: Iterable[str] = (),
    setting: str = "EBB_HOME",
) -> Package:
    """Pack a folder.

    Args:
        root: the folder.
        into: the folder that the package is put in, named by its digest.
        limit_bytes: how much may be in it.
        never: folders that are left out wherever they lie, such as ``EBB_HOME``.
        needed: paths in the root, relative to it, without which the program cannot run.
        setting: the variable that names where ``into`` is; for the hint of an error.

    Returns:
        The package; the file is the caller's to remove.

    Raises:
        ConfigurationError: PROGRAM_INVALID, it is too large, cannot be read, or what is needed is
            left out; with what to do.
        ProvisioningError: DISK_FULL, there is no room for the package; LAUNCH_FAILED, it cannot be
            written there for another reason.
    """
    root = root.resolve()
    entries = _entries(root, never)
    problems = [*_too_large(root, entries, limit_bytes), *_left_out(root, entries, needed)]
    if problems:
        raise ConfigurationError(problems)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            path = _written(into, entries)
            break
        except _UnreadableError as found:
            if attempt == _ATTEMPTS or not _has_changed(found.error):
                raise _unreadable(root, found.error) from found
            entries = _entries(root, never)
        except OSError as error:
            raise unwritable(into, error, setting) from error
    return Package(
        path=path,
        digest=path.name,
        bytes_=path.stat().st_size,
        files=len(entries),
        content_bytes=sum(entry.size for entry in entries),
    )


def _has_changed(error: OSError) -> bool:
    """Whether a file went or became shorter while it was packed: then it is looked at again."""
    return isinstance(error, FileNotFoundError) or "end of data" in str(error)


class _UnreadableError(Exception):
    """Something of the folder cannot be read; other errors are of writing the package."""

    def __init__(self, error: OSError):
        super().__init__(str(error))
        self.error = error


def unwritable(into: Path, error: OSError, setting: str) -> ProvisioningError:
    """Tell why something cannot be written; it is no fault of the folder that is packed.

    Args:
        into: where it was to be written.
        error: what the system answered.
        setting: the variable that names where that is.

    Returns:
        DISK_FULL, or LAUNCH_FAILED for another reason.
    """
    if is_full(error):
        return disk_full(error, into, setting=setting)
    detail = f"its code cannot be kept in {into}: {error.strerror or error}"
    return ProvisioningError(Reason.LAUNCH_FAILED, detail=detail)


def _unreadable(root: Path, error: OSError) -> ConfigurationError:
    where = f": {error.filename}" if error.filename else ""
    summary = f"the folder {root} cannot be sent: {error.strerror or error}{where}"
    hint = f"name what is not needed in {root / EBBIGNORE}"
    return ConfigurationError([_problem(summary, hint)])


def _entries(root: Path, never: Iterable[Path]) -> list[_Entry]:
    """All that is packed, in the order of its names.

    Raises:
        ConfigurationError: a folder cannot be read, or there are too many files.
    """
    search = _Search(root, frozenset(path.resolve() for path in never))
    found: list[_Entry] = []
    try:
        for entry in search.below(root, "", ()):
            found.append(entry)
            if len(found) > MAX_FILES:
                summary = f"the folder {root} has more than {MAX_FILES} files to send"
                raise ConfigurationError([_problem(f"{summary}{_largest(found)}", _SMALLER)])
    except OSError as error:
        raise _unreadable(root, error) from error
    return sorted(found, key=lambda entry: entry.name)


class _Search:
    """Looks for what is packed."""

    def __init__(self, root: Path, never: frozenset[Path]):
        self._root, self._never, self._ignored = root, never, Ignored(root)

    def below(self, folder: Path, name: str, followed: tuple[Path, ...]) -> Iterator[_Entry]:
        """Yield everything below a folder, in no order.

        Args:
            folder: where to look.
            name: its own in the package, with a slash at its end.
            followed: the folders elsewhere that links have led to, on the way here.

        Yields:
            What is to be packed.
        """
        with os.scandir(folder) as listed:
            for each in listed:
                inner, path = f"{name}{each.name}", Path(each.path)
                target = _target(path) if each.is_symlink() else path
                if target is None:  # it leads nowhere
                    continue
                is_folder = target.is_dir()
                if self._ignored(inner, is_folder=is_folder) or target in self._never:
                    continue
                if target is not path and self._is_inside(target):
                    yield _Entry(inner, path, link=os.path.relpath(target, path.parent))
                elif is_folder and target is path:
                    yield from self.below(path, f"{inner}/", followed)
                elif is_folder and target not in followed and not self._root.is_relative_to(target):
                    yield from self.below(path, f"{inner}/", (*followed, target))
                elif not is_folder:
                    yield from _file(inner, path)

    def _is_inside(self, target: Path) -> bool:
        return target.is_relative_to(self._root) and target != self._root


def _target(link: Path) -> Path | None:
    """Where a link leads; None when nothing is there."""
    try:
        return link.resolve(strict=True)
    except (OSError, RuntimeError):
        return None


def _file(name: str, path: Path) -> Iterator[_Entry]:
    try:
        found = path.stat()
    except FileNotFoundError:  # it has just gone
        return
    if stat.S_ISREG(found.st_mode):
        yield _Entry(name, path, found.st_size, bool(found.st_mode & stat.S_IXUSR))


def _written(into: Path, entries: Iterable[_Entry]) -> Path:
    """Write the package; of one that cannot be written nothing is left.

    Raises:
        OSError: it cannot be written.
        _UnreadableError: what is packed cannot be read.
    """
    into.mkdir(parents=True, exist_ok=True)
    draft = into / f"package.{os.getpid()}"
    try:
        return draft.rename(into / _write(draft, entries))
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


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
    with _Source(entry.path) as source:
        info.size = source.size
        tar.addfile(info, source)  # type: ignore[arg-type]  # it reads, and does no more


class _Source:
    """A file that is packed: of what goes wrong, what goes wrong with it is told apart."""

    def __init__(self, path: Path):
        with self._reading():
            self._file = path.open("rb")
        with self._reading():
            self.size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int) -> bytes:
        """Return the next bytes of it, as many as are asked for, as its size was promised."""
        with self._reading():
            data = self._file.read(size)
            if len(data) < size:
                raise OSError("unexpected end of data")
        return data

    @staticmethod
    @contextlib.contextmanager
    def _reading() -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise _UnreadableError(error) from error


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
    summary = (
        f"the folder {root} has {format_memory(total)} in {len(entries)} files, and at most"
        f" {format_memory(limit_bytes)} are sent to the cluster{_largest(entries)}"
    )
    yield _problem(summary, _SMALLER)


def _largest(entries: list[_Entry]) -> str:
    sizes = Counter[str]()
    for entry in entries:
        top, slash, _ = entry.name.partition("/")
        sizes[top + slash] += entry.size
    largest = sizes.most_common(_LARGEST_SHOWN)
    return "; largest: " + ", ".join(f"{name} {format_memory(size)}" for name, size in largest)


def _left_out(root: Path, entries: list[_Entry], needed: Iterable[str]) -> Iterator[Problem]:
    names = {entry.name for entry in entries}
    for name in needed:
        if name not in names and (root / name).exists():
            summary = f"{name} is not sent to the cluster: an ignore file leaves it out"
            yield _problem(summary, f"add a line !{name} to {root / EBBIGNORE}")


def _problem(summary: str, hint: str) -> Problem:
    return Problem(Reason.PROGRAM_INVALID, summary, hint)
