"""Stopping a run from anywhere, and the end of one whose cluster a session has driven."""

from __future__ import annotations

from collections.abc import Callable

from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle.steps import Scene
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.records import runs
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
    ledger = open_store(settings)
    stopped = ledger.request_stop(run, reason)
    platform = load_platform("local", settings)
    clusters = ledger.living_clusters(run)
    for cluster in clusters:
        platform.release(cluster.id, reason, at_once=at_once)
    ledger.close()
    return stopped or bool(clusters)


def release_and_end(
    store: RunStore,
    scene: Scene,
    error: EbbError | None,
    tear_down: Callable[[Scene, Reason | None], object],
) -> None:
    """Give back a session's cluster, and record the end whatever came of that.

    Args:
        store: with its run.
        scene: whose cluster goes.
        error: what the session ended with; None when it ended well.
        tear_down: step 7, as a Prefect task or plain.

    Raises:
        ReleaseError: INCOMPLETE, when something resisted.
    """
    try:
        tear_down(scene, error.reason if error else None)
    finally:
        runs.end(store, scene.spec.name, error, error.exit_code if error else 0)
