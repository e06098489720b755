"""Stopping a run from anywhere."""

from __future__ import annotations

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.records.opening import open_store
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
    platform = load_platform("local", settings)
    clusters = store.living_clusters(run)
    for cluster in clusters:
        platform.release(cluster.id, reason, at_once=at_once)
    store.close()
    return stopped or bool(clusters)
