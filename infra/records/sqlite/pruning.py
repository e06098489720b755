"""Forgetting runs that have ended, and giving the room back to the disk."""

from __future__ import annotations

import contextlib
import sqlite3

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.records.sqlite.rows import run_of

_MUCH_AIR = 0.25
"""A ledger of which so much is free pages is written anew."""
_ENDED = """
SELECT * FROM runs WHERE ended IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM clusters WHERE run = runs.name AND released_at IS NULL)
ORDER BY ended DESC, rowid DESC"""
_ROWS = (
    "DELETE FROM samples WHERE cluster IN (SELECT id FROM clusters WHERE run = ?)",
    "DELETE FROM spans WHERE cluster IN (SELECT id FROM clusters WHERE run = ?)",
    "DELETE FROM shares WHERE cluster IN (SELECT id FROM clusters WHERE run = ?)",
    "DELETE FROM clusters WHERE run = ?",
    "DELETE FROM events WHERE run = ?",
    "DELETE FROM runs WHERE name = ?",
)


class PrunedTables(Database):
    """All tables, as far as runs that have ended are concerned."""

    def runs_over(self) -> list[Run]:
        """Return the runs that have ended and hold nothing any more, the latest first."""
        return [run_of(row) for row in self.rows(_ENDED)]

    def forget_run(self, run: RunName) -> bool:
        """Delete all records of a run that is over; False when it is not, or lives again."""
        with self.transaction() as connection:
            chosen = f"SELECT 1 FROM ({_ENDED}) WHERE name = ?"
            if connection.execute(chosen, (run,)).fetchone() is None:
                return False
            for statement in _ROWS:
                connection.execute(statement, (run,))
        return True

    def compact(self) -> None:
        """Return free pages to the disk; does nothing while others write or there is no room."""
        uri = f"file:{self.path}?mode=rw"
        with contextlib.suppress(sqlite3.Error):
            connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            try:
                (free,) = connection.execute("PRAGMA freelist_count").fetchone()
                (all_,) = connection.execute("PRAGMA page_count").fetchone()
                if free > _MUCH_AIR * all_:
                    connection.execute("VACUUM")
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()
