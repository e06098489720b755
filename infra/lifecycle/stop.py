"""Stopping a run from anywhere, and whether another process drives it."""

from __future__ import annotations

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings


def stop_run(settings: Settings, run: RunName, reason: Reason, *, at_once: bool = False) -> bool:
    """Ask for the end of a run: no fresh attempt, and its clusters released.

    Args:
        settings: of this installation.
        run: its name.
        reason: why; recorded as the reason of its end.
        at_once: whether the program has no time to end by itself.

    Returns:
        Whether there was anything to stop.
    """
    store = open_store(settings)
    stopped = store.request_stop(run, reason)
    found, clusters = store.run(run), store.living_clusters(run)
    if found is not None and clusters:
        platform = load_platform(found.spec.platform, settings, store)
        for cluster in clusters:
            platform.release(cluster.id, reason, at_once=at_once)
    store.close()
    return stopped or bool(clusters)


def is_driven_elsewhere(settings: Settings, store: RunStore, run: RunName) -> bool:
    """Whether another process that lives drives the run's latest cluster, and will end the run.

    Args:
        settings: of this installation.
        store: with the run.
        run: its name.

    Returns:
        False also where that cannot be asked.
    """
    try:
        found, last = store.run(run), store.last_cluster(run)
        if found is None or last is None or last.released:
            return False
        return not load_platform(found.spec.platform, settings, store).claim(last.id)
    except EbbError:
        return False
