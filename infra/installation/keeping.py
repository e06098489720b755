"""Deleting what has ended long ago: runs' folders, and their rows in the ledger.

Never a run that lives, that has not ended, or of which a cluster is not released; never one whose
flow is still there, for it may ask what its jobs have done. Sums of ``ebb cost`` lose what goes.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.installation.footprint import size_of
from ebbtide.infra.models.keep import Keep
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_ASIDE = ".pruned-"
"""Begins the name of a folder that is being deleted; no run's name begins so."""
_MUCH_AIR = 0.25
"""A ledger of which so much is free pages is written anew."""
_ENDED = """
SELECT name, ended, job_key, flow_pid, flow_started FROM runs WHERE ended IS NOT NULL
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


@dataclass(frozen=True, slots=True)
class Old:
    """A run that may go."""

    run: str
    ended: float
    """Unix time, seconds."""
    bytes_: int
    """Of its folder."""


def beyond(settings: Settings, ledger: Ledger, keep: Keep) -> list[Old]:
    """Runs that ``keep`` does not want any more, latest first."""
    if not keep:
        return []
    flows = {row["id"] for row in _living_flows(ledger)}
    found, kept, bytes_ = [], 0, 0
    for row in ledger.rows(_ENDED):
        size = size_of(settings.run_folder(row["name"]))
        too_old = keep.age_s is not None and wall_s() - row["ended"] > keep.age_s
        too_many = keep.runs is not None and kept >= keep.runs
        too_large = keep.bytes_ is not None and bytes_ + size > keep.bytes_
        in_use = marks.alive(row["flow_pid"], row["flow_started"]) or (
            (row["job_key"] or "").partition("/")[0] in flows
        )
        if (too_old or too_many or too_large) and not in_use:
            found.append(Old(row["name"], row["ended"], size))
        else:
            kept, bytes_ = kept + 1, bytes_ + size
    return found


def prune(settings: Settings, ledger: Ledger, old: Iterable[Old]) -> int:
    """Delete them; gives the bytes that are free now, those of the ledger among them.

    Killed in the middle, it leaves nothing that a later call does not find.

    Raises:
        EbbError: the ledger cannot be written; what was deleted before is gone.
    """
    before = _ledger_size(settings)
    freed = 0
    for one in old:
        folder = settings.run_folder(one.run)
        aside = folder.with_name(_ASIDE + one.run)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
        try:
            gone = _forget(ledger, one.run)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                aside.rename(folder)
            raise
        if not gone:  # something has happened to it since it was chosen
            with contextlib.suppress(FileNotFoundError):
                aside.rename(folder)
            continue
        shutil.rmtree(aside, ignore_errors=True)
        freed += one.bytes_ - size_of(aside)
    for left in settings.runs.glob(f"{_ASIDE}*"):
        shutil.rmtree(left, ignore_errors=True)
    _compact(settings)
    return freed + max(0, before - _ledger_size(settings))


def _forget(ledger: Ledger, run: str) -> bool:
    """Its rows, unless it lives again by now."""
    with ledger.transaction() as connection:
        chosen = f"SELECT 1 FROM ({_ENDED}) WHERE name = ?"
        if connection.execute(chosen, (run,)).fetchone() is None:
            return False
        for statement in _ROWS:
            connection.execute(statement, (run,))
    return True


def _living_flows(ledger: Ledger) -> list[sqlite3.Row]:
    rows = ledger.rows("SELECT id, pid, started FROM flow_runs")
    return [row for row in rows if marks.alive(row["pid"], row["started"])]


def _compact(settings: Settings) -> None:
    """Give free pages back to the disk; while others write, or there is no room, another time."""
    path = settings.home / "ledger.sqlite"
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, isolation_level=None)
        try:
            (free,) = connection.execute("PRAGMA freelist_count").fetchone()
            (all_,) = connection.execute("PRAGMA page_count").fetchone()
            if free > _MUCH_AIR * all_:
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def _ledger_size(settings: Settings) -> int:
    paths: list[Path] = list(settings.home.glob("ledger.sqlite*"))
    return sum(size_of(path) for path in paths)
