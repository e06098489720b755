"""The work pool of ``ebb up``: a pause of ours is told apart from an operator's.

``ebb down`` pauses it, so that nothing starts meanwhile, and notes whether it was paused before;
the next ``ebb up`` resumes it only when the pause is ours.
"""

from __future__ import annotations

import json
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists
from prefect.workers.process import ProcessWorker

from ebbtide.infra.settings import Settings


def make(client: SyncPrefectClient, settings: Settings, pool: str) -> None:
    """Make the work pool, or resume it when it was ``ebb down`` that paused it.

    Args:
        client: of Prefect's server.
        settings: of this installation.
        pool: the name of the work pool.
    """
    template = ProcessWorker.get_default_base_job_template()
    try:
        client.create_work_pool(
            WorkPoolCreate(name=pool, type="process", base_job_template=template)
        )
    except ObjectAlreadyExists:
        if _paused_by_us(settings, pool):
            client.update_work_pool(pool, WorkPoolUpdate(is_paused=False))
    _note(settings).unlink(missing_ok=True)


def pause(client: SyncPrefectClient, settings: Settings, pool: str) -> None:
    """Pause the work pool until the next ``ebb up``, so that it starts no more runs.

    Args:
        client: of Prefect's server.
        settings: of this installation.
        pool: the name of the work pool.
    """
    if client.read_work_pool(pool).is_paused:
        return  # an operator's; or ours, and then the note is there
    _note(settings).write_text(json.dumps({"pool": pool}))
    client.update_work_pool(pool, WorkPoolUpdate(is_paused=True))


def _paused_by_us(settings: Settings, pool: str) -> bool:
    try:
        return bool(json.loads(_note(settings).read_text())["pool"] == pool)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _note(settings: Settings) -> Path:
    return settings.home / "stack" / "paused-by-ebb-down.json"
