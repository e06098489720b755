"""``keep`` of ebb.yaml, carried out by the reaper once an hour."""

from __future__ import annotations

import os
from pathlib import Path

from ebbtide.infra.files.private import locked, write_private
from ebbtide.infra.installation.keeping import beyond, prune
from ebbtide.infra.lifecycle.submission import catalog_for
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s

_EVERY_S = 3600.0


def keep_to_limits(settings: Settings, *, every_s: float = _EVERY_S) -> str:
    """Delete what ``keep`` does not want, unless that was done within ``every_s`` seconds.

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
