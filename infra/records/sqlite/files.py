"""Copies of SQLite files: made while they are in use, and a ledger's put right on its return."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.records.sqlite.schema import upgrade

_COPY_TIMEOUT_S = 60.0


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite file as it is at one moment, though others write; only its owner can read it.

    Raises:
        OSError: it could not be read or written.
    """
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    uri = f"file:{source}?mode=ro"
    with (
        _as_os_error(),
        closing(sqlite3.connect(uri, uri=True, timeout=_COPY_TIMEOUT_S)) as there,
        closing(sqlite3.connect(target)) as here,
    ):
        there.backup(here)
        here.execute("PRAGMA journal_mode = DELETE")
    target.chmod(0o600)


def count_runs(ledger: Path) -> int:
    """Count the runs in a ledger that nobody uses; 0 when there is no such file.

    Raises:
        OSError: it cannot be read.
    """
    if not ledger.exists():
        return 0
    with _as_os_error(), closing(sqlite3.connect(ledger)) as connection:
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


def end_what_went_on(ledger: Path, at: float, detail: str) -> None:
    """End all runs and clusters of a copied ledger that had not ended: nothing of them is alive.

    Args:
        ledger: path of a copy that nobody uses.
        at: when the copy was made; Unix time, seconds.
        detail: what each of those runs is recorded to have ended with.

    Raises:
        OSError: it cannot be written.
    """
    lost = Reason.FLOW_LOST
    with (
        _as_os_error(),
        closing(sqlite3.connect(ledger, isolation_level=None)) as connection,
        connection,
    ):
        connection.execute("BEGIN IMMEDIATE")
        upgrade(connection)
        connection.execute("UPDATE spans SET ended = ? WHERE ended IS NULL", (at,))
        connection.execute("DELETE FROM shares")
        connection.execute(
            "UPDATE clusters SET released_at = ?, released_by = 'restore', release_reason = ?,"
            " state = 'released', supervisor_pid = NULL WHERE released_at IS NULL",
            (at, Reason.SUPERVISOR_LOST.value),
        )
        connection.execute(
            "UPDATE runs SET phase = ?, reason = ?, detail = ?, exit_code = ?, ended = ?"
            " WHERE ended IS NULL",
            (Phase.FAILED.value, lost.value, detail, lost.info.exit_code, at),
        )
        connection.execute("UPDATE runs SET flow_pid = NULL")
        connection.execute("UPDATE flow_runs SET pid = 0")  # the reaper says so in Prefect


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Whoever copies files need not know what a database is."""
    try:
        yield
    except sqlite3.Error as error:
        raise OSError(str(error)) from error
