"""Reading the ledger where it cannot be opened: on a full disk, or in a home that is read-only.

SQLite's WAL wants to write even for a reader. So the files are copied to where there is room, and
read there; when not even that is possible, the ledger is empty and says so. For commands that
look, never for those that decide.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.sqlite.schema import VERSION, upgrade, version_of

_ELSEWHERE = (None, "/dev/shm")
"""The usual folder for temporary files, then memory."""


class LastKnown(Ledger):
    """The ledger, or a read-only copy of it where it cannot be opened.

    ``stale`` is a sentence that says that it is a copy, and why; empty for the ledger itself.
    """

    def __init__(self, home: Path):
        super().__init__(home)
        self.stale = ""

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = super()._connect()
            connection.execute("SELECT count(*) FROM runs").fetchone()
            return connection
        except (sqlite3.OperationalError, ConfigurationError) as error:
            why = str(error)
        copy = self._copy()
        if copy is not None:
            self.stale = f"the ledger cannot be opened ({why}): this is what a copy of it says"
        else:
            self.stale = (
                f"the ledger cannot be read ({why}): only what is found on this machine is shown"
            )
            copy = sqlite3.connect(":memory:", isolation_level=None)
            copy.row_factory = sqlite3.Row
            self._migrate(copy)
        copy.execute("PRAGMA query_only = ON")
        return copy

    def _same_file(self) -> bool:
        return bool(self.stale) or super()._same_file()

    def _copy(self) -> sqlite3.Connection | None:
        """Open a copy with its log. The files are deleted as soon as they are open."""
        for place in _ELSEWHERE:
            with (
                contextlib.suppress(OSError, sqlite3.Error),
                tempfile.TemporaryDirectory(prefix="ebb-", dir=place) as folder,
            ):
                copy = Path(folder) / self.path.name
                for suffix in ("", "-wal"):
                    source = self.path.with_name(self.path.name + suffix)
                    if source.exists():
                        shutil.copyfile(source, copy.with_name(copy.name + suffix))
                connection = sqlite3.connect(f"file:{copy}?mode=rw", uri=True, isolation_level=None)
                try:
                    connection.row_factory = sqlite3.Row
                    connection.execute("SELECT count(*) FROM runs").fetchone()
                    if version_of(connection) < VERSION:
                        connection.execute("BEGIN IMMEDIATE")
                        upgrade(connection)
                        connection.execute("COMMIT")
                except sqlite3.Error:
                    connection.close()
                    raise
                return connection
        return None
