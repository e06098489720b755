"""A job that is told apart by a key: run once, adopted by a retry, not done again once it is done.

The key is what stays the same when the same thing is asked for again: a flow
run's id, with the job's name behind it where one flow runs several.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ebbtide.infra.errors import CapacityError
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.outcome import RunResult, result_of
from ebbtide.infra.lifecycle.provision import SevenSteps
from ebbtide.infra.lifecycle.stop import is_driven_elsewhere
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.models.records import Run
from ebbtide.infra.processes.identity import this_process
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wait_until, wall_s

_LOOK_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Done:
    """The job has succeeded before."""

    run: Run


@dataclass(frozen=True, slots=True)
class Running:
    """A run of the job has not ended; whoever drove it may have died."""

    run: Run


@dataclass(frozen=True, slots=True)
class New:
    """Nothing to go on with: it was never asked for, or what there was failed or was stopped."""


def look_up(store: RunStore, key: str) -> Done | Running | New:
    """Where the job of this key stands, judged by its latest run."""
    run = store.run_of(key)
    if run is None:
        return New()
    if not run.over:
        return Running(run)
    return Done(run) if run.phase is Phase.SUCCEEDED else New()


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
        How the run ended, or had ended before.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        EbbError: what the run failed with.
    """
    store = open_store(settings)
    match look_up(store, key):
        case Done(run):
            return result_of(settings, run)
        case Running(run):
            spec = run.spec
        case New():
            spec = begin(store, request, key=key, flow_run_id=flow_run_id)
    return drive(settings, store, spec, seven, flow_run_id=flow_run_id, watching=watching)


def drive(
    settings: Settings,
    store: RunStore,
    spec: RunSpec,
    seven: SevenSteps,
    *,
    flow_run_id: str,
    watching: Callable[[RunName], AbstractContextManager[object]],
) -> RunResult:
    """Take a run over that has begun and not ended, and carry it out.

    Args:
        settings: of this installation.
        store: with the run; used in this thread.
        spec: of the run.
        seven: the steps, as Prefect tasks or plain.
        flow_run_id: who drives it from now on.
        watching: entered with the run's name while it is carried out.

    Returns:
        How it ended.

    Raises:
        EbbError: what the run failed with.
    """
    elsewhere = partial(is_driven_elsewhere, settings, store, spec.name)
    with runs.ended_when_it_fails(store, spec.name, unless=elsewhere):
        take_over(store, spec.name, flow_run_id)
        with watching(spec.name):
            carry_out(settings, store, spec, seven)
    ended = store.run(spec.name)
    assert ended is not None
    return result_of(settings, ended)


def begin(store: RunStore, request: RunRequest, *, key: str, flow_run_id: str = "") -> RunSpec:
    """Write down a new run of the job with this key, before anything is made.

    This process drives it from its first moment. A flow is there anyway, so where too many runs
    wait already, it waits for that too. The run counts as requested from the beginning of that
    wait, so it has what is left of its time to start.

    Args:
        store: where it is written.
        request: what to run.
        key: of the job.
        flow_run_id: of the flow run that this process is; empty when it is none, or not yet known.

    Returns:
        The spec of the run, under the name that it was given.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        CapacityError: QUEUE_FULL, all the time.
    """
    spec = spec_for(request, os.environ, Path.cwd())
    requested_at = wall_s()
    refused: CapacityError | None = None

    def begun() -> RunSpec | None:
        nonlocal refused
        try:
            return runs.begin(
                store,
                spec,
                key=key,
                flow_process=this_process(),
                flow_run_id=flow_run_id or None,
                requested_at=requested_at,
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


def take_over(store: RunStore, run: RunName, flow_run_id: str) -> None:
    """Record that this process drives the run from now on; the reaper looks whether it lives.

    Args:
        store: with the run.
        run: its name.
        flow_run_id: of the flow run that this process is; empty when it is none.
    """
    store.register_flow_process(run, this_process(), flow_run_id or None)
