"""Folders and files that nobody but this user can read, whatever umask they are made under.

Belongs here: making or checking ``EBB_HOME``, folders below it, and files of ours. Code of ours may
run in a user's own process (``ebbtide.run``), so nothing here changes the umask.
Does not belong here: what is kept in them. Standard library, and errors.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
import sys
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.escaping import visible
from ebbtide.infra.files.room import disk_full, is_full
from ebbtide.infra.files.volumes import is_pods_own
from ebbtide.infra.models.phases import Reason

UMASK = 0o077
"""Of every process of ours."""
_FOLDER, _FILE = 0o700, 0o600
_OTHERS, _OTHERS_WRITE = 0o077, 0o022
OURS = (
    *(
        "ledger.sqlite*",
        "ledger.corrupt-*",
        "runs",
        "clusters",
        "doors",
        "prefect",
        "stack",
        "outbox",
    ),
    *("claims.lock", "prune.lock", "reaper.json", "reaper.json.draft", "crash-*.log"),
    *("kubernetes.json", "kubernetes.json.draft", "leases.json", "leases.json.draft"),
)
"""Names that may lie in a home. One that holds others is somebody's folder and stays as it is."""


def private_folder(home: Path, *parts: str) -> Path:
    """Make the folder ``home/part/part`` and all above it, up to home, for this user only.

    Raises:
        ConfigurationError: NO_PERMISSION, it cannot be made; with what to do.
        ProvisioningError: DISK_FULL.
    """
    folder = private_home(home)
    for part in parts:
        folder /= part
        try:
            folder.mkdir(mode=_FOLDER, exist_ok=True)
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_mode & _OTHERS:
                folder.chmod(_FOLDER)
        except OSError as error:
            if is_full(error):
                raise disk_full(error, folder) from error
            problem = Problem(
                Reason.NO_PERMISSION,
                f"cannot make {folder}: {error.strerror}",
                "make it yours again, or set EBB_HOME to another folder",
            )
            raise ConfigurationError([problem]) from error
    return folder


def private_home(home: Path, *, setting: str = "EBB_HOME", names: Iterable[str] = OURS) -> Path:
    """Return ``EBB_HOME``, made when it is missing and made private when others can read it.

    Args:
        home: the folder.
        setting: the variable that names another one; for the hint of an error.
        names: patterns of what may be in a folder that is to be made private.

    Returns:
        The same folder.

    Raises:
        ConfigurationError: NO_PERMISSION, it is not safe to keep anything there.
        ProvisioningError: DISK_FULL, it cannot be made.
    """
    try:
        return _checked_home(home, names)
    except OSError as error:
        if is_full(error):
            raise disk_full(error, home, setting=setting) from error
        why = f"cannot keep anything in {home}: {error.strerror or error}"
    except _NotSafe as error:
        why = str(error)
    hint = f"set {setting} to a folder of yours"
    raise ConfigurationError([Problem(Reason.NO_PERMISSION, why, hint)])


class _NotSafe(Exception):
    """Says why nothing may be kept in a folder."""


def _checked_home(home: Path, names: Iterable[str]) -> Path:
    _make(home)
    _check_way(home)
    found = home.stat()
    _check_owner(home, found)
    if found.st_mode & _OTHERS:
        _close(home, found.st_mode, names)
    if not os.access(home, os.W_OK | os.X_OK):
        raise _NotSafe(f"{home} is not writable")
    return home


def private_opener(path: str, flags: int) -> int:
    """Open a file; one that is made is for this user only. For the ``opener`` of ``open``."""
    return os.open(path, flags, _FILE)


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read."""
    with open(path, "w", opener=private_opener) as file:
        file.write(text)


def write_whole(path: Path, text: str) -> None:
    """Write a private file all at once: a reader finds what was there before, or all of it.

    Raises:
        OSError: it could not be written; what was there before still is.
    """
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    write_private(draft, text)
    draft.replace(path)


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file, which is made for this user only, while the block runs.

    Yields True. Without ``wait``, and when another process holds the lock, it yields False at
    once, and the block runs without the lock.
    """
    with open(path, "a", opener=private_opener) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def touch_private(path: Path) -> None:
    """Set the time of a private file to now; it is made when it is missing."""
    path.touch(mode=_FILE)


def make_private(folder: Path) -> None:
    """Make a folder and all in it private: its files were made under anybody's umask."""
    for where, _, names in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(where, _FOLDER)
        for path in (Path(where, name) for name in names):
            with contextlib.suppress(OSError):
                if stat.S_ISREG(path.lstat().st_mode):
                    path.chmod(_FILE)


def own_file(path: Path) -> None:
    """Make an empty file for this user only, or make one that exists private without opening it.

    (Closing any descriptor of an SQLite file takes away the locks this process has on it.)
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, _FILE))
        return
    found = path.lstat()
    if stat.S_ISREG(found.st_mode) and found.st_mode & _OTHERS and found.st_uid == os.geteuid():
        path.chmod(_FILE)


def _make(home: Path) -> None:
    """Make the folder and its missing parents for this user only."""
    missing = []
    for folder in (home, *home.parents):
        if os.path.lexists(folder):
            break
        missing.append(folder)
    for folder in reversed(missing):
        folder.mkdir(mode=_FOLDER, exist_ok=True)


def _check_way(home: Path) -> None:
    """Check that nobody else can put another folder, or a link, in place of this one."""
    for folder in _way(home):
        found = folder.lstat()
        above = folder.parent.stat()
        shared = bool(above.st_mode & stat.S_IWOTH)
        strange = found.st_uid not in (0, os.geteuid())
        if strange and (shared or stat.S_ISLNK(found.st_mode)):
            raise _NotSafe(f"{folder} belongs to {user_name(found.st_uid)}, who can replace it")
        if shared and not above.st_mode & stat.S_ISVTX and not is_pods_own(folder.parent):
            raise _NotSafe(f"everybody can replace {folder}: {folder.parent} is open to all")


def _way(home: Path) -> Iterator[Path]:
    """Yield home and the folders above it, by its given name and by where that leads."""
    for end in dict.fromkeys((home.absolute(), home.resolve())):
        yield from (folder for folder in (end, *end.parents) if folder != folder.parent)


def _check_owner(home: Path, found: os.stat_result) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise _NotSafe(f"{home} is not a folder")
    if found.st_uid != os.geteuid():
        raise _NotSafe(f"{home} belongs to {user_name(found.st_uid)}")


def _close(home: Path, mode: int, ours: Iterable[str]) -> None:
    """Make a folder private; only one that holds nothing but files of Ebb is changed."""
    names = sorted(os.listdir(home))
    strange = [name for name in names if not any(fnmatch(name, each) for each in ours)]
    if strange:
        why = f"other users can read {home}, and it holds more than Ebb's files: {strange[0]}"
        raise _NotSafe(why)
    if mode & _OTHERS_WRITE:
        for folder, folders, files in os.walk(home):
            for name in (*folders, *files):
                owner = os.lstat(os.path.join(folder, name)).st_uid
                if owner != os.geteuid():
                    why = f"{os.path.join(folder, name)} was put there by {user_name(owner)}"
                    raise _NotSafe(why)
    home.chmod(_FOLDER)
    message = f"! other users could read {home}; it is now private"
    print(visible(message), file=sys.stderr, flush=True)


def user_name(uid: int) -> str:
    """Return the user's name, or ``user NUMBER`` when the system knows none."""
    with contextlib.suppress(KeyError, OSError):
        return pwd.getpwuid(uid).pw_name
    return f"user {uid}"
