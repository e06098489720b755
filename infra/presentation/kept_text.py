"""What a run has left to look at, as text: one line, a table, and how each file is seen.

Does not belong here: finding the files (``Platform.kept``), opening them (``ebb open``).
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from ebbtide.infra.files.kept import KeptFile, KeptKind
from ebbtide.infra.frameworks.base import WITHOUT_CLUSTER, load_framework
from ebbtide.infra.models.cluster import ClusterSpec, ClusterView
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import volume_of
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.presentation.tables import Row, Table

PAGE = ".html"
_HEADERS = ("WHAT", "SIZE", "CHANGED", "SEE")
_FOLDED = 8
"""A folder that holds more than this is one row; asked for by its name, it is listed."""


def kept_line(run: RunName, files: Sequence[KeptFile]) -> str:
    """Say on one line how much a run has left and where to look."""
    return f"{kept_size(files)}; ebb logs {run} --list"


def stored_line(destination: str, view: ClusterView | None) -> str:
    """Say where a run's output went, other than to the machine it was begun on.

    Args:
        destination: as its spec names it; empty: nowhere else.
        view: of its last cluster.

    Returns:
        The place and how much went there; empty when nothing did.
    """
    if volume_of(destination) is not None:
        return destination
    programs = [view.job, *view.programs.values()] if view is not None else []
    stored = [job.stored for job in programs if job.stored]
    return f"{destination} ({'; '.join(stored)})" if stored else ""


def kept_size(files: Sequence[KeptFile]) -> str:
    """Say how many files there are, and their bytes together."""
    total = format_memory(sum(file.bytes_ for file in files))
    return f"{_count(files)}, {total}"


def below(files: Iterable[KeptFile], folder: str) -> list[KeptFile]:
    """Return the files whose names begin with this folder; all of them for an empty one."""
    start = f"{folder.rstrip('/')}/" if folder else ""
    return [file for file in files if file.name.startswith(start)]


def kept_table(
    run: RunName, cluster: ClusterSpec, files: Sequence[KeptFile], folder: str = ""
) -> Table:
    """Return the table of what a run has left.

    Args:
        run: its name.
        cluster: what it ran on, for what opens its files.
        files: what is kept.
        folder: only what is below it; empty: all, with large folders as one row each.

    Returns:
        One row for each file or folder.
    """
    opened = opened_by(cluster, files)
    rows = _entries(run, folder.rstrip("/"), below(files, folder), opened)
    return Table("Kept", _HEADERS, rows, "nothing is kept")


def _entries(
    run: RunName, folder: str, files: Sequence[KeptFile], opened: frozenset[str]
) -> list[Row]:
    """Return the rows of what is in a folder, without large folders' content."""
    start = f"{folder}/" if folder else ""
    entries: dict[str, list[KeptFile]] = {}
    for file in files:
        first, slash, _ = file.name.removeprefix(start).partition("/")
        entries.setdefault(start + first + slash, []).append(file)
    rows = []
    for name, inside in entries.items():
        if not name.endswith("/"):
            rows.append(_row(run, inside[0], opened))
        elif name in opened or _is_large(name, inside):
            rows.append(_folder_row(run, name, inside, opened))
        else:
            rows += _entries(run, name.rstrip("/"), inside, opened)
    return rows


def _is_large(folder: str, files: Sequence[KeptFile]) -> bool:
    return len({file.name.removeprefix(folder).partition("/")[0] for file in files}) > _FOLDED


def kept_data(
    run: RunName, cluster: ClusterSpec, files: Sequence[KeptFile]
) -> list[dict[str, Any]]:
    """Return what is kept as data for scripts.

    Args:
        run: its name.
        cluster: what it ran on, for what opens its files.
        files: what is kept.

    Returns:
        One object for each file; sizes in bytes, times as Unix time in seconds.
    """
    opened = opened_by(cluster, files)
    return [
        {
            "name": file.name,
            "kind": file.kind.value,
            "bytes": file.bytes_,
            "changed": file.changed,
            "path": str(file.path),
            "host": file.host,
            "see": how_seen(run, file, opened),
        }
        for file in files
    ]


def opened_by(cluster: ClusterSpec, files: Iterable[KeptFile]) -> frozenset[str]:
    """Return what ``ebb open`` shows: names of pages, and a folder with a slash at its end."""
    framework = cluster.framework
    history = "" if framework == WITHOUT_CLUSTER else load_framework(framework).history
    pages = {file.name for file in files if _is_artifact(file) and file.path.suffix == PAGE}
    return frozenset(pages | ({f"{history}/"} if history else set()))


def how_seen(run: RunName, file: KeptFile, opened: frozenset[str]) -> str:
    """Say what shows a file: a command, or its path where it is for other programs.

    Args:
        run: whose.
        file: which.
        opened: what ``ebb open`` shows, see ``opened_by``.

    Returns:
        A command to type, or the path.
    """
    folders = tuple(name for name in opened if name.endswith("/"))
    if file.name in opened or (_is_artifact(file) and file.name.startswith(folders)):
        return f"ebb open {run}"
    if file.kind is KeptKind.PROGRAM:
        owner = file.name.rpartition("/")[0]
        return f"ebb logs {run}/{owner}" if owner else f"ebb logs {run}"
    if file.is_log and file.kind is not KeptKind.OUTPUT:
        return f"ebb logs {run} --from {shlex.quote(file.name)}"
    return f"{file.host}:" * bool(file.host) + shlex.quote(str(file.path))


def _row(run: RunName, file: KeptFile, opened: frozenset[str]) -> Row:
    size = format_memory(file.bytes_)
    return (file.name, size, _time(file.changed), how_seen(run, file, opened))


def _folder_row(
    run: RunName, folder: str, files: Sequence[KeptFile], opened: frozenset[str]
) -> Row:
    see = f"ebb logs {run} --list --from {shlex.quote(folder)}"
    if folder in opened:
        see = f"ebb open {run}"
    size = format_memory(sum(file.bytes_ for file in files))
    changed = _time(max(file.changed for file in files))
    return (f"{folder} ({_count(files)})", size, changed, see)


def _count(files: Sequence[KeptFile]) -> str:
    return f"{len(files)} file{'s' * (len(files) != 1)}"


def _is_artifact(file: KeptFile) -> bool:
    return file.kind is KeptKind.ARTIFACT


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%m-%d %H:%M:%S}"
