"""A copy of an installation, made while it runs, and an installation made of such a copy.

The databases are copied by SQLite's own backup, each as it is at one moment; the rest as files.
What only a living process means anything to is left out; logs, artifacts and output of runs are in
it. A run that was going on then has ended when its copy is restored: nothing of it lives there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records.sqlite.files import copy_database, count_runs, end_what_went_on
from ebbtide.infra.records.sqlite.schema import VERSION
from ebbtide.infra.settings import OPENED, Settings
from ebbtide.infra.waiting import wall_s

_MANIFEST = "ebb-backup.json"
_FORMAT = 1
_DATABASES = ("ledger.sqlite", "prefect/prefect.db")
_LEFT_OUT = (
    "clusters", "doors",
    "prefect/server.json", "prefect/keeper.json", "prefect/last-use", "prefect/failed",
    "prefect/server.log", "stack/stack.json", "stack/stack.log", "reaper.json",
)  # fmt: skip
_WENT_ON = "it was going on when the backup was made"
_SHORT_LIVED = (".draft", ".lock", "-wal", "-shm", "-journal", ".sock", ".tmp")


def backup(settings: Settings, folder: Path) -> int:
    """Copy the installation into a new, private folder.

    Returns:
        The number of runs in the copy.

    Raises:
        ConfigurationError: the folder is not empty, cannot be made, or has no room.
    """
    folder = folder.absolute()
    if folder.exists() and any(folder.iterdir()):
        raise _problem(f"{folder} is not empty", "name a folder that does not exist yet")
    if folder.is_relative_to(settings.home):
        raise _problem(f"{folder} is inside the folder to be copied", "name a folder elsewhere")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        _copy_tree(settings.home, folder)
        for name in _DATABASES:
            if (settings.home / name).is_file():
                copy_database(settings.home / name, folder / name)
        runs = count_runs(folder / "ledger.sqlite")
        manifest = {"format": _FORMAT, "ledger": VERSION, "at": wall_s(), "runs": runs}
        (folder / _MANIFEST).write_text(json.dumps(manifest))  # last: without it there is no backup
    except OSError as error:
        hint = "delete the folder, free some space, and try again"
        raise _problem(f"the backup in {folder} is not complete: {error}", hint) from error
    return runs


def restore(settings: Settings, folder: Path, *, overwrite: bool) -> int:
    """Make the home of this installation from a backup; nothing of it may be alive.

    Args:
        settings: of the installation whose home is made.
        folder: what ``backup`` has written.
        overwrite: whether a home that is there is moved aside; otherwise that is an error.

    Returns:
        The number of runs in the backup.

    Raises:
        ConfigurationError: it is no backup, the home is not empty, or it cannot be written.
    """
    manifest = _read_manifest(folder)
    home = settings.home
    if home.exists() and any(home.iterdir()) and not overwrite:
        hint = "point EBB_HOME at another folder, or use --overwrite, which moves it aside"
        raise _problem(f"{home} is not empty", hint)
    draft = home.with_name(f"{home.name}.restoring-{os.getpid()}")
    try:
        home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(folder, draft, symlinks=True)
        draft.chmod(0o700)
        (draft / _MANIFEST).unlink()
        if (draft / "ledger.sqlite").exists():
            end_what_went_on(draft / "ledger.sqlite", float(manifest["at"]), _WENT_ON)
        if home.exists() and any(home.iterdir()):
            home.rename(home.with_name(f"{home.name}.before-restore-{int(wall_s())}"))
        draft.rename(home)
    except (OSError, shutil.Error) as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise _problem(
            f"{home} could not be restored: {error}",
            "correct what the message names, then try again",
        ) from error
    return int(manifest["runs"])


def _read_manifest(folder: Path) -> dict[str, float]:
    try:
        found: dict[str, float] = json.loads((folder / _MANIFEST).read_text())
    except (OSError, ValueError) as error:
        hint = "name a folder that ebb backup has completed"
        raise _problem(f"{folder} is no backup: {error}", hint) from error
    if found.get("format") != _FORMAT or found.get("ledger", 0) > VERSION:
        raise _problem(f"{folder} was made by a newer ebb", "upgrade ebbtide")
    return found


def _copy_tree(home: Path, folder: Path) -> None:
    def ignored(where: str, names: Iterable[str]) -> set[str]:
        inside = Path(where).relative_to(home)
        return {
            name
            for name in names
            if str(inside / name) in (*_LEFT_OUT, *_DATABASES)
            or (inside.parts[:1] != ("runs",) and name.endswith(_SHORT_LIVED))
            or (inside.parts[:1] == ("runs",) and name.startswith(OPENED))
            or not _is_kept(Path(where) / name)
        }

    shutil.copytree(
        home,
        folder,
        symlinks=True,
        ignore=ignored,
        copy_function=_copy_file,
        dirs_exist_ok=True,
    )
    folder.chmod(0o700)


def _is_kept(path: Path) -> bool:
    """Files, folders and links; a socket or a pipe means nothing without its process."""
    return path.is_symlink() or path.is_file() or path.is_dir()


def _copy_file(source: str, target: str) -> None:
    """A file that goes while the others are copied is not missed."""
    try:
        shutil.copy2(source, target, follow_symlinks=False)
    except FileNotFoundError:
        return


def _problem(summary: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Problem(Reason.NO_PERMISSION, summary, hint)])
