"""``keep`` of ebb.yaml, carried out by the reaper once an hour."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ebbtide.infra.files.private import private_opener
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
    with open(settings.home / "prune.lock", "a", opener=private_opener) as lock:
        done_at = os.fstat(lock.fileno()).st_mtime if lock.tell() else 0.0
        if wall_s() - done_at < every_s:
            return ""
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return ""
        lock.truncate(0)
        lock.write(".")  # its time is that of the last round
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
