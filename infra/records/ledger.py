"""The ledger: what was asked for, what is, and what happened. SQLite, shared by all processes here.

Belongs here: runs, clusters (each a lease), shares of pools and events, and the file's own safety:
a newer version is refused, a corrupt file is moved aside (living supervisors write their rows
again, see ``restore``).
Does not belong here: deciding anything from it; admission is in ``infra.platforms.local.pool``,
what shares were used for in ``infra.records.usage``.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.files.private import own_file, private_home
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.waiting import wall_s

VERSION = 2
"""Of the schema below. A ledger with a higher one is refused, never guessed at."""

_SCHEMA = """
CREATE TABLE runs (
    name TEXT PRIMARY KEY, spec TEXT NOT NULL, phase TEXT NOT NULL, reason TEXT, detail TEXT,
    exit_code INTEGER, created REAL NOT NULL, ended REAL, attempt INTEGER NOT NULL DEFAULT 1,
    flow_pid INTEGER, flow_started REAL, stop_reason TEXT, prefect_url TEXT);
CREATE TABLE clusters (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL,
    attempt INTEGER NOT NULL, pool TEXT NOT NULL, state TEXT NOT NULL, beat INTEGER NOT NULL,
    beat_at REAL NOT NULL DEFAULT 0, lease_s REAL NOT NULL,
    supervisor_pid INTEGER, supervisor_started REAL,
    orders TEXT NOT NULL, view TEXT NOT NULL, created REAL NOT NULL,
    released_at REAL, released_by TEXT);
CREATE TABLE shares (
    cluster TEXT NOT NULL, owner TEXT NOT NULL, pool TEXT NOT NULL, cpu_millis INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL, PRIMARY KEY (cluster, owner));
CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, cluster TEXT, at REAL NOT NULL,
    kind TEXT NOT NULL, step TEXT, reason TEXT, message TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX events_by_run ON events (run, id);
CREATE INDEX clusters_living ON clusters (released_at);
"""
_UPGRADES = {
    1: """
ALTER TABLE runs ADD COLUMN flow_run_id TEXT;
ALTER TABLE runs ADD COLUMN job_key TEXT;
ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';
CREATE INDEX runs_by_flow_run ON runs (flow_run_id);
CREATE INDEX runs_by_key ON runs (job_key);
ALTER TABLE clusters ADD COLUMN tier TEXT NOT NULL DEFAULT '';
ALTER TABLE clusters ADD COLUMN tier_most INTEGER;
ALTER TABLE clusters ADD COLUMN owner_most INTEGER;
CREATE TABLE flow_runs (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, pid INTEGER NOT NULL, started REAL NOT NULL,
    signed_in REAL NOT NULL);
CREATE INDEX clusters_by_run ON clusters (run);
CREATE TABLE spans (
    cluster TEXT NOT NULL, owner TEXT NOT NULL, tier TEXT NOT NULL, cpu_millis INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL, price_per_hour REAL NOT NULL, began REAL NOT NULL, ended REAL,
    cpu_s REAL NOT NULL, peak_memory_bytes INTEGER NOT NULL, PRIMARY KEY (cluster, owner));
CREATE TABLE samples (
    cluster TEXT NOT NULL, number INTEGER NOT NULL, at REAL NOT NULL, wanted INTEGER NOT NULL,
    joined INTEGER NOT NULL, cpu_percent REAL NOT NULL, memory_percent REAL NOT NULL,
    worker_cpu_s REAL NOT NULL, PRIMARY KEY (cluster, number))
""",
}
"""What makes a ledger of this version one of the next; a new file takes the same way."""

_BUSY_TIMEOUT_S = 10.0
_HINT = "see that EBB_HOME can be written, then try again"
_HINTS = {
    "full": "free some disk space, then try again",
    "I/O error": "free some disk space, and see that EBB_HOME can be written, then try again",
    "No space": "free some disk space, then try again",
    "quota": "free some of your disk quota, then try again",
    "locked": "another process is writing to it for long: try again",
    "moved aside": "try again: a new one is begun, and living runs sign in again",
}
Test = Callable[[], bool]
_CORRUPT = ("not a database", "malformed", "disk image", "unsupported file format")


class Ledger:
    """One process' door to the ledger. Not for sharing between threads: open one each.

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

    # Reading and writing -------------------------------------------------------------------

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._guarded() as connection:
            return connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query."""
        rows = self.rows(sql, *values)
        return rows[0] if rows else None

    def write(self, sql: str, *values: Any) -> int:
        """One statement in a transaction of its own; gives the number of rows it changed."""
        with self.transaction() as connection:
            return connection.execute(sql, values).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Everything inside happens or nothing; other writers wait meanwhile."""
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

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # Runs ----------------------------------------------------------------------------------

    def add_run(self, name: str, spec: str, *, unless: Test = bool, **more: Any) -> bool:
        """A new run, queued.

        Args:
            name: of the run.
            spec: as JSON.
            unless: nothing is added when it says so, asked while no other process can write.
            more: other columns.

        Returns:
            False when nothing was added: ``unless`` said so, or another run has its name.
        """
        row = {"name": name, "spec": spec, "phase": "Queued", "created": wall_s(), **more}
        columns, values = ", ".join(row), ", ".join("?" * len(row))
        sql = f"INSERT INTO runs ({columns}) VALUES ({values}) ON CONFLICT (name) DO NOTHING"
        with self.transaction() as connection:
            return not unless() and connection.execute(sql, tuple(row.values())).rowcount > 0

    def run_of(self, job_key: str) -> sqlite3.Row | None:
        """The latest run of a job that is told apart by this key."""
        return self.row(
            "SELECT * FROM runs WHERE job_key = ? ORDER BY created DESC, rowid DESC LIMIT 1",
            job_key,
        )

    def run(self, name: str) -> sqlite3.Row | None:
        """One run."""
        return self.row("SELECT * FROM runs WHERE name = ?", name)

    def update_run(self, name: str, **fields: Any) -> int:
        """Set columns of a run; gives 0 when there is no such run."""
        return self._update("runs", "name", name, fields)

    def register_process(self, flow_run_id: str, name: str, pid: int, started: float) -> None:
        """This process is the flow run, from now on."""
        self.write(
            "INSERT OR REPLACE INTO flow_runs VALUES (?, ?, ?, ?, ?)",
            flow_run_id,
            name,
            pid,
            started,
            wall_s(),
        )

    # Clusters ------------------------------------------------------------------------------

    def add_cluster(
        self, cluster: str, run: str, *, attempt: int, pool: str, lease_s: float
    ) -> None:
        """A new cluster at the end of its pool's queue. Adding it again changes nothing."""
        self.write(
            "INSERT OR IGNORE INTO clusters (id, run, attempt, pool, state, beat, lease_s, orders,"
            " view, created) VALUES (?, ?, ?, ?, 'queued', 0, ?, '{}', '{}', ?)",
            cluster,
            run,
            attempt,
            pool,
            lease_s,
            wall_s(),
        )

    def cluster(self, cluster: str) -> sqlite3.Row | None:
        """One cluster."""
        return self.row("SELECT * FROM clusters WHERE id = ?", cluster)

    def living_clusters(self, run: str | None = None) -> list[sqlite3.Row]:
        """Clusters that are not released yet, oldest first."""
        if run is None:
            return self.rows("SELECT * FROM clusters WHERE released_at IS NULL ORDER BY seq")
        return self.rows(
            "SELECT * FROM clusters WHERE released_at IS NULL AND run = ? ORDER BY seq", run
        )

    def update_cluster(self, cluster: str, **fields: Any) -> int:
        """Set columns of a cluster; gives 0 when there is no such cluster."""
        return self._update("clusters", "id", cluster, fields)

    def renew(self, cluster: str) -> bool:
        """One heartbeat of the lease. False when the cluster is not in the ledger (any more)."""
        changed = self.write(
            "UPDATE clusters SET beat = beat + 1, beat_at = ? WHERE id = ? AND released_at IS NULL",
            wall_s(),  # for people to read; a lease is judged by the beat on the judge's own clock
            cluster,
        )
        return changed > 0

    def extend_lease(self, cluster: str, lease_s: float, **orders: Any) -> bool:
        """A heartbeat that says how long the lease lasts from now on.

        Both in one statement: a judge never measures the old silence with the new duration.
        ``orders`` are given with it. False when there is no such living cluster.
        """
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT orders FROM clusters WHERE id = ? AND released_at IS NULL", (cluster,)
            ).fetchone()
            if row is None:
                return False
            merged = json.dumps({**json.loads(row["orders"]), **orders})
            connection.execute(
                "UPDATE clusters SET beat = beat + 1, beat_at = ?, lease_s = ?, orders = ?"
                " WHERE id = ?",
                (wall_s(), lease_s, merged, cluster),
            )
        return True

    def order(self, cluster: str, **orders: Any) -> None:
        """Tell the cluster's owner what is wanted. Orders add up; the same one twice is one."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT orders FROM clusters WHERE id = ?", (cluster,)
            ).fetchone()
            if row is None:
                return
            merged = {**json.loads(row["orders"]), **orders}
            connection.execute(
                "UPDATE clusters SET orders = ? WHERE id = ?", (json.dumps(merged), cluster)
            )

    def restore(self, run: dict[str, Any], cluster: dict[str, Any], shares: list[Any]) -> None:
        """Write the rows of a living cluster again, after the file was lost or moved aside."""
        with self.transaction() as connection:
            for table, row in (("runs", run), ("clusters", cluster)):
                marks = ", ".join("?" * len(row))
                connection.execute(
                    f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})",
                    tuple(row.values()),
                )
            connection.executemany("INSERT OR IGNORE INTO shares VALUES (?, ?, ?, ?, ?)", shares)

    # Events --------------------------------------------------------------------------------

    def emit(self, run: str, kind: str, message: str, **more: Any) -> None:
        """Record that something happened. ``more``: cluster, step, reason; the rest is data."""
        columns = [more.pop(name, None) for name in ("cluster", "step", "reason")]
        self.write(
            "INSERT INTO events (run, kind, message, at, cluster, step, reason, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            run,
            kind,
            message,
            more.pop("at", None) or wall_s(),
            *columns,
            json.dumps(more),
        )

    def events(self, run: str, after: int = 0) -> list[sqlite3.Row]:
        """Events of a run in order, those with an id above ``after``."""
        return self.rows("SELECT * FROM events WHERE run = ? AND id > ? ORDER BY id", run, after)

    # The file ------------------------------------------------------------------------------

    def _update(self, table: str, key: str, name: str, fields: dict[str, Any]) -> int:
        settings = ", ".join(f"{column} = ?" for column in fields)
        return self.write(f"UPDATE {table} SET {settings} WHERE {key} = ?", *fields.values(), name)

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
        """Ours alone before SQLite makes it open; its ``-wal`` and ``-shm`` follow its mode."""
        try:
            own_file(self.path)
        except OSError as error:
            raise _unwritable(self.path, error.strerror or str(error)) from error

    def _migrate(self, connection: sqlite3.Connection) -> None:
        if self._check_version(connection):
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if not self._check_version(connection):
            for version in range(_version_of(connection), VERSION):
                for statement in (_UPGRADES[version] if version else _SCHEMA).split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def _check_version(self, connection: sqlite3.Connection) -> bool:
        version = _version_of(connection)
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


def _version_of(connection: sqlite3.Connection) -> int:
    """0 for a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _unwritable(path: Path, why: str) -> ProvisioningError:
    return ProvisioningError(
        Reason.LEDGER_UNWRITABLE,
        detail=f"{path}: {why}",
        hint=next((hint for sign, hint in _HINTS.items() if sign in why), _HINT),
    )
