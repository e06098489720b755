"""The life of a detached run's flow in its pod: take the run over, drive it, keep what it left.

How it drives is the caller's: with Prefect or without.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.kubernetes.detached import arriving, keeping
from ebbtide.infra.processes.identity import this_process
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

TOLD_TO_GO = 128 + signal.SIGTERM
"""What a flow exits with that goes because it is told to: the next one adopts the cluster."""
Drive = Callable[[Settings, RunStore, Run], None]
"""Carries a run out that this process has taken over; raises what it failed with."""


def _nothing(_run: Run | None) -> None:
    """For whoever has nothing to do at the end."""


def live(
    settings: Settings,
    run: RunName,
    digest: str,
    drive: Drive,
    ended: Callable[[Run | None], None] = _nothing,
) -> int:
    """Take a run over and carry it out.

    Args:
        settings: of this pod.
        run: its name.
        digest: of its package of code.
        drive: how it is carried out.
        ended: called with the run when it is over, or None when it is not known here; before this
            process keeps what it has left.

    Returns:
        What to exit with.

    Raises:
        EbbError: the API server refused, or was away for too long.
    """
    with contextlib.closing(open_store(settings)) as store:
        _take_over(settings, store, run, digest, drive)
        now = store.run(run)
        if now is not None and not now.over:
            return 1
        ended(now)
        keeping.keep(settings, store, run)
        return 0


def _take_over(
    settings: Settings, store: RunStore, run: RunName, digest: str, drive: Drive
) -> None:
    found = store.run(run)
    if found is None or found.over:
        return _say(f"{run}: it is over" if found else f"{run}: it is not known here")
    if not arriving.take_secrets(settings, found.spec, os.environ):
        return _without(settings, store, run, "secrets")
    if not arriving.take_code(settings, store, run, digest):
        return _without(settings, store, run, "code")
    store.register_flow_process(run, this_process(), None)
    arriving.stay(settings, run)
    _say(f"{run}: taken over by {arriving.here()}")
    with contextlib.suppress(EbbError):  # recorded where it was raised
        drive(settings, store, found)
    now = store.run(run)
    _say(f"{run}: {now.phase if now is not None else 'gone'}")


def _without(settings: Settings, store: RunStore, run: RunName, what: str) -> None:
    """End a run that nobody can drive."""
    detail = f"whoever began it has not sent its {what}"
    if store.clusters_of(run):
        detail = f"its flow was lost with its node, and no pod of its cluster has its {what}"
    stop_run(settings, run, Reason.LAUNCH_FAILED)
    error = error_for(Reason.LAUNCH_FAILED, detail=detail)
    runs.end(store, run, error, error.exit_code)
    _say(f"{run}: {detail}; ended")


def _say(line: str) -> None:
    """To the pod's log."""
    print(line, flush=True)
