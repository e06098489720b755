"""One job for one thing to be done, however often it is asked for; of two at once one begins it.

Those of one machine take turns by a lock file. Those of several, such as pods that two events have
started, know of each other by the records alone: who wants to begin a job writes a run of it down
under a key of claims, and has the job if nobody else's is to be seen after that. Of two who write
at once each may see the other; then both take theirs back and try again, in random time.
"""

from __future__ import annotations

import contextlib
import random

from ebbtide.infra.errors import error_for
from ebbtide.infra.files.private import locked, private_home
from ebbtide.infra.lifecycle.once import begin, take_over
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.processes.identity import may_live
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s, pause, wait_until, wall_s

_AGREED_WITHIN_S = 60.0
"""Who has met others for so long leaves the job to them."""
_LONGEST_PAUSE_S = 2.0


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
        ProvisioningError: API_UNREACHABLE, nobody knows whether others do it.
    """
    store = open_store(settings)
    lock, until = private_home(settings.home) / "claims.lock", now_s() + _AGREED_WITHIN_S
    with locked(lock), contextlib.closing(store):
        while True:
            run = store.run_of(key)
            if run is not None and run.ended is None:
                if may_live(run.flow_process):
                    return f"already being done by run {run.name}"
                take_over(store, run.name, flow_run_id)
                return None
            if run is not None and run.ended is not None and run.phase is Phase.SUCCEEDED:
                if wall_s() - run.ended < window_s:
                    return f"done already by run {run.name}"
                store.set_key(run.name, f"{key}#{run.name}")
            other = _begin_alone(store, request, key, flow_run_id)
            if other is None:
                return None
            if now_s() > until:
                return f"already being done by run {other}"
            pause(random.uniform(0, _LONGEST_PAUSE_S))


def _begin_alone(
    store: RunStore, request: RunRequest, key: str, flow_run_id: str
) -> RunName | None:
    """Begin the job's run, or return the run of somebody else who does so at the same time.

    Claims are read before runs, as a run that is begun goes from the one key to the other.
    """
    claims, before = f"{key}#claims", set(store.runs_of(key))
    mine = begin(store, request, key=claims, flow_run_id=flow_run_id).name
    seen = wait_until(
        lambda: _with(mine, store.runs_of(claims)), timeout_s=_AGREED_WITHIN_S, longest_s=1.0
    )
    rivals = [run for run in seen if run != mine and _goes_on(store.run(run))]
    rivals += [run for run in store.runs_of(key) if run not in before]
    if seen and not rivals:
        store.set_key(mine, key)
        return None
    store.end_run(mine, Phase.CANCELLED, Reason.CANCELLED, "somebody else does the same", 0)
    store.forget_run(mine)
    if not seen:
        raise error_for(Reason.API_UNREACHABLE, detail=f"nobody knows who else does {key}")
    return rivals[0]


def _with(run: RunName, runs: list[RunName]) -> list[RunName]:
    """The runs, if this one is among them: those of a store that is away are not."""
    return runs if run in runs else []


def _goes_on(run: Run | None) -> bool:
    """Whether a claim may still become a run: of one whose process has died nothing comes."""
    return run is not None and run.ended is None and may_live(run.flow_process)
