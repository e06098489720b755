"""One job for one thing to be done, however often it is asked for; of two at once one begins it."""

from __future__ import annotations

import contextlib

from ebbtide.infra.files.private import locked, private_home
from ebbtide.infra.lifecycle.once import begin, take_over
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.processes.identity import may_live
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s


def claim(
    settings: Settings, request: RunRequest, *, key: str, window_s: float, flow_run_id: str
) -> str | None:
    """Begin the job of this key unless somebody does it now, or has done it within the window.

    A run of it that failed, or whose flow has died, does not count.

    Args:
        settings: of this installation.
        request: what to run.
        key: of the job.
        window_s: seconds for which a run that has succeeded counts.
        flow_run_id: of the flow run that asks.

    Returns:
        None when the job is the caller's to do; otherwise a sentence that says who does it, or did.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
    """
    ledger = open_store(settings)
    lock = private_home(settings.home) / "claims.lock"
    with locked(lock), contextlib.closing(ledger):
        run = ledger.run_of(key)
        if run is not None and run.ended is None:
            if may_live(run.flow_process):
                return f"already being done by run {run.name}"
            take_over(ledger, run.name, flow_run_id)
            return None
        if run is not None and run.ended is not None and run.phase is Phase.SUCCEEDED:
            if wall_s() - run.ended < window_s:
                return f"done already by run {run.name}"
            ledger.set_key(run.name, f"{key}#{run.name}")
        begin(ledger, request, key=key, flow_run_id=flow_run_id)
    return None
