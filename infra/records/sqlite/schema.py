"""The tables of the ledger, and what makes an older ledger one of this version."""

from __future__ import annotations

import sqlite3

VERSION = 5
"""Of the schema below. A ledger with a higher one is refused, never guessed at."""

SCHEMA = """
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
UPGRADES = {
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
    2: """
ALTER TABLE clusters ADD COLUMN release_reason TEXT;
UPDATE clusters SET release_reason = substr(released_by, instr(released_by, ' ') + 1),
    released_by = substr(released_by, 1, instr(released_by, ' ') - 1)
    WHERE instr(released_by, ' ') > 0;
UPDATE clusters SET orders = json_set(orders, '$.release.reason', NULL)
    WHERE json_extract(orders, '$.release.reason') = ''
""",
    3: """
ALTER TABLE shares ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0;
ALTER TABLE shares ADD COLUMN devices TEXT NOT NULL DEFAULT '[]'
""",
    4: "ALTER TABLE spans ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0",
}
"""What makes a ledger of this version one of the next; a new file takes the same way."""


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the schema of an open ledger; 0 for a new file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the tables to this version, or make them in a new file.

    To be called inside of a transaction: everything happens or nothing.
    """
    for version in range(version_of(connection), VERSION):
        for statement in (UPGRADES[version] if version else SCHEMA).split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
