"""Deleting what has ended long ago: runs' folders, and their rows in the ledger.

Never a run that lives, that has not ended, or of which a cluster is not released; never one whose
flow is still there, for it may ask what its jobs have done. Sums of ``ebb cost`` lose what goes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.private import locked, write_private
from ebbtide.infra.installation.footprint import size_of
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.keep import Keep
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_PRUNE_EVERY_S = 3600.0
_ASIDE = ".pruned-"
"""Begins the name of a folder that is being deleted; no run's name begins so."""


@dataclass(frozen=True, slots=True)
class Old:
    """A run that may be deleted."""

    run: RunName
    ended: float
    """Unix time, seconds."""
    bytes_: int
    """Of its folder."""


def beyond(settings: Settings, store: RunStore, keep: Keep) -> list[Old]:
    """List the ended runs that the limits do not keep.

    Args:
        settings: of this installation.
        store: its store of runs.
        keep: the limits; without any, all runs are kept.

    Returns:
        The runs that may be deleted, latest end first. None that a living flow may still ask for.
    """
    if not keep:
        return []
    flows = {one.flow_run_id for one in store.registered() if marks.lives(one.process)}
    found, kept, bytes_ = [], 0, 0
    for run, ended in ((run, run.ended or 0.0) for run in store.runs_over()):
        size = size_of(settings.run_folder(run.name))
        too_old = keep.age_s is not None and wall_s() - ended > keep.age_s
        too_many = keep.runs is not None and kept >= keep.runs
        too_large = keep.bytes_ is not None and bytes_ + size > keep.bytes_
        in_use = marks.lives(run.flow_process) or (run.key or "").partition("/")[0] in flows
        if (too_old or too_many or too_large) and not in_use:
            found.append(Old(run.name, ended, size))
        else:
            kept, bytes_ = kept + 1, bytes_ + size
    return found


def prune(settings: Settings, store: RunStore, old: Iterable[Old]) -> int:
    """Delete runs: their folders and their records. Killed on the way, it can be called again.

    Args:
        settings: of this installation.
        store: its store of runs.
        old: the runs, as ``beyond`` returned them; one that lives again by now is left alone.

    Returns:
        The number of bytes that are free now, those of the ledger among them.

    Raises:
        EbbError: the ledger cannot be written; the runs before that are deleted.
    """
    before = _ledger_size(settings)
    freed = 0
    for one in old:
        folder = settings.run_folder(one.run)
        aside = folder.with_name(_ASIDE + one.run)
        with contextlib.suppress(FileNotFoundError):
            folder.rename(aside)
        try:
            gone = store.forget_run(one.run)
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
    store.compact()
    return freed + max(0, before - _ledger_size(settings))


def keep_to_limits(settings: Settings, *, every_s: float = _PRUNE_EVERY_S) -> str:
    """Delete what ``keep`` of ebb.yaml does not want, unless done within ``every_s`` seconds.

    Returns:
        What was done, in words; empty when there was nothing to do.

    Raises:
        EbbError: ebb.yaml is not valid, or the ledger cannot be written.
    """
    lock = settings.home / "prune.lock"
    with locked(lock, wait=False) as mine:
        found = lock.stat()
        done_at = found.st_mtime if found.st_size else 0.0
        if not mine or wall_s() - done_at < every_s:
            return ""
        write_private(lock, ".")  # its time is that of the last round
        return _delete(settings)


def _delete(settings: Settings) -> str:
    keep = catalog_for(os.environ, Path.cwd())[0].keep
    ledger = open_store(settings)
    try:
        old = beyond(settings, ledger, keep)
        freed = prune(settings, ledger, old) if old else 0
    finally:
        ledger.close()
    return f"deleted {len(old)} runs beyond {keep}: {format_memory(freed)} free" if old else ""


def _ledger_size(settings: Settings) -> int:
    paths: list[Path] = list(settings.home.glob("ledger.sqlite*"))
    return sum(size_of(path) for path in paths)
