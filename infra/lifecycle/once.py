"""A job that is told apart by a key: run once, adopted by a retry, not done again once it is done.

The key is what stays the same when the same thing is asked for again: a flow
run's id, with the job's name behind it where one flow runs several.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from ebbtide.infra.errors import CapacityError
from ebbtide.infra.lifecycle.attempts import SevenSteps, carry_out
from ebbtide.infra.lifecycle.outcome import RunResult, result_of
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wait_until

_LOOK_EVERY_S = 5.0


def run_once(
    settings: Settings,
    request: RunRequest,
    seven: SevenSteps,
    *,
    key: str,
    flow_run_id: str,
    watching: Callable[[RunName], AbstractContextManager[object]] = nullcontext,
) -> RunResult:
    """Run the job of this key, unless it has succeeded before.

    A run of it that has not ended is taken over, cluster and all: the flow that began it has died.
    One that failed or was stopped is followed by a new run.

    Args:
        settings: of this installation.
        request: what to run when there is nothing to take over.
        seven: the steps, as Prefect tasks or plain.
        key: of the job.
        flow_run_id: of the flow run that drives it from now on.
        watching: entered with the run's name while it is carried out.

    Returns:
        The result of the run, or that of the run that had succeeded before.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        EbbError: what the run failed with.
    """
    ledger = open_store(settings)
    found = ledger.run_of(key)
    if found is not None and found.phase is Phase.SUCCEEDED:
        return result_of(settings, found)
    spec = None if found is None or found.over else found.spec
    if spec is None:
        spec = begin(ledger, request, key=key, flow_run_id=flow_run_id)
    else:
        take_over(ledger, spec.name, flow_run_id)
    with runs.ended_when_it_fails(ledger, spec.name), watching(spec.name):
        carry_out(settings, ledger, spec, seven)
    ended = ledger.run(spec.name)
    assert ended is not None
    return result_of(settings, ended)


def begin(ledger: RunStore, request: RunRequest, *, key: str, flow_run_id: str = "") -> RunSpec:
    """Write down a new run of the job with this key, before anything is made.

    With ``flow_run_id`` this process drives it from its first moment. A flow is there anyway, so
    where too many runs wait already, it waits for that too, as long as its run may wait.

    Args:
        ledger: the store of runs.
        request: what to run.
        key: of the job.
        flow_run_id: of the flow run that this process is; empty when it is none.

    Returns:
        The spec of the run, under the name that it was given.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        CapacityError: QUEUE_FULL, all the time.
    """
    spec = spec_for(request, ledger, os.environ, Path.cwd())
    flow_process = marks.this_process() if flow_run_id else None
    refused: CapacityError | None = None

    def begun() -> RunSpec | None:
        nonlocal refused
        try:
            return runs.begin(
                ledger, spec, key=key, flow_process=flow_process, flow_run_id=flow_run_id or None
            )
        except CapacityError as error:
            refused = error
            return None

    found = wait_until(
        begun, timeout_s=spec.limits.start_within_s, first_s=0.5, longest_s=_LOOK_EVERY_S
    )
    if found is None:
        assert refused is not None
        raise refused
    return found


def take_over(ledger: RunStore, run: RunName, flow_run_id: str) -> None:
    """Record that this process drives the run from now on; the reaper looks whether it lives.

    Args:
        ledger: the store of runs.
        run: its name.
        flow_run_id: of the flow run that this process is; empty when it is none.
    """
    ledger.register_flow_process(run, marks.this_process(), flow_run_id or None)
