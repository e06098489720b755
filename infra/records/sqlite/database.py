"""One process' connection to the ledger's file, and that file's own safety.

A newer version is refused, a corrupt file is moved aside (living supervisors write their rows
again, see ``ClusterTable.restore``), a file that was replaced is opened anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.files.private import own_file, private_home
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records.sqlite.schema import VERSION, upgrade, version_of
from ebbtide.infra.waiting import wait_until, wall_s

_BUSY_TIMEOUT_S = 10.0
_HINT = "make sure that EBB_HOME can be written, then try again"
_HINTS = {
    "full": "free some disk space, then try again",
    "I/O error": "free some disk space, make sure that EBB_HOME can be written, then try again",
    "No space": "free some disk space, then try again",
    "quota": "free some of your disk quota, then try again",
    "locked": "another process is writing to it and does not finish: try again",
    "moved aside": "try again: a new one is started, and living runs register again",
}
_CORRUPT = ("not a database", "malformed", "disk image", "unsupported file format")


class Database:
    """One process's connection to the ledger. Not for sharing between threads: open one each.

    Raises (from every method):
        ProvisioningError: INFRA:LEDGER_UNWRITABLE when the disk is full or the file is locked.
        ConfigurationError: LEDGER_NEWER, NO_PERMISSION when it cannot be used at all.
    """

    def __init__(self, home: Path):
        self.path = home / "ledger.sqlite"
        self.moved_aside: Path | None = None
        """Where a corrupt ledger was moved to by this process, for telling the user."""
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def __del__(self) -> None:
        """Close what its last user has left open, as a command does that ends."""
        with contextlib.suppress(sqlite3.Error, AttributeError):  # of another thread; half made
            self.close()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return all rows of a query."""
        with self._guarded() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """Return the first row of a query; None when there is none."""
        rows = self.rows(sql, *values)
        return rows[0] if rows else None

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement in a transaction of its own. Returns the number of rows it changed."""
        with self.transaction() as connection:
            return connection.execute(sql, values).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run the block in a transaction: all of it happens or nothing; other writers wait."""
        with self._guarded() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def version(self) -> int:
        """A number that changes when another process has written; cheap enough to watch."""
        with self._guarded() as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def check(self) -> None:
        """Read something, so that an error is raised when the ledger cannot be used."""
        self.rows("SELECT 1 FROM runs LIMIT 1")

    def catch_up(self) -> None:
        """Nothing is to be done: each read sees all that has been written."""

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self._open()
        except sqlite3.IntegrityError:
            raise  # a name that is taken, say: nothing is wrong with the file or its disk
        except sqlite3.DatabaseError as error:
            self.close()
            if any(sign in str(error) for sign in _CORRUPT):
                self._move_aside()
                raise _unwritable(self.path, "it was corrupt and has been moved aside") from error
            raise _unwritable(self.path, str(error)) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None and self._same_file():
            return self._connection
        self.close()
        try:
            self._connection = self._connect()
        except sqlite3.DatabaseError as error:
            if not any(sign in str(error) for sign in _CORRUPT):
                raise
            self._move_aside()
            self._connection = self._connect()
        self._inode = self.path.stat().st_ino
        return self._connection

    def _same_file(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _connect(self) -> sqlite3.Connection:
        private_home(self.path.parent)
        self._own_file()
        connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            self._migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _own_file(self) -> None:
        """Make the file private before SQLite opens it; ``-wal`` and ``-shm`` follow its mode."""
        try:
            own_file(self.path)
        except OSError as error:
            raise _unwritable(self.path, error.strerror or str(error)) from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if self._check_version(connection):
            return
        _switch_to_wal(connection)
        connection.execute("BEGIN IMMEDIATE")
        if not self._check_version(connection):
            upgrade(connection)
        connection.execute("COMMIT")

    def _check_version(self, connection: sqlite3.Connection) -> bool:
        version = version_of(connection)
        if version > VERSION:
            problem = Problem(
                Reason.LEDGER_NEWER,
                f"{self.path} was written by a newer ebb (ledger {version}, this reads {VERSION})",
                "upgrade ebbtide, or point EBB_HOME at another folder",
            )
            raise ConfigurationError([problem])
        return version == VERSION

    def _move_aside(self) -> None:
        aside = self.path.with_name(f"ledger.corrupt-{int(wall_s())}.sqlite")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, aside)
            self.moved_aside = aside
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; of two who open a new file, SQLite refuses one, which tries again."""
    refused: list[sqlite3.OperationalError] = []

    def switched() -> bool:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            refused.append(error)
            return False
        return True

    if not wait_until(switched, timeout_s=_BUSY_TIMEOUT_S):
        raise refused[-1]


def _unwritable(path: Path, why: str) -> ProvisioningError:
    return ProvisioningError(
        Reason.LEDGER_UNWRITABLE,
        detail=f"{path}: {why}",
        hint=next((hint for sign, hint in _HINTS.items() if sign in why), _HINT),
    )
