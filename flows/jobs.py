"""For a user's own flows: ``job`` runs a program on a cluster of its own, ``cluster`` holds one.

    from ebbtide import cluster, job, parallel

A job is told apart by its name and arguments within its flow run. When that flow run is run again
(a retry, also from the UI; a worker that came back), what had succeeded is not done again, what
still runs is adopted, and what had failed is run anew.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Unpack
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import CancelledRun, Pause
from prefect.states import Cancelled, Completed

from ebbtide.flows.authoring.holding import HeldCluster, cluster
from ebbtide.flows.authoring.identity import job_key
from ebbtide.flows.authoring.parallel import TaskGroup, parallel, stoppable
from ebbtide.flows.authoring.seven_steps import seven_steps
from ebbtide.flows.prefect_state.registration import ended_by, register_process, reporting
from ebbtide.infra.errors import EbbError, JobError
from ebbtide.infra.lifecycle import steps as plain
from ebbtide.infra.lifecycle.once import Done, New, Running, begin, drive, look_up
from ebbtide.infra.lifecycle.outcome import RunResult, result_of
from ebbtide.infra.lifecycle.steps import Attempt
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.request.catalog import settings_here
from ebbtide.infra.request.keywords import JobOptions, documented
from ebbtide.infra.request.program.check import folder_of
from ebbtide.infra.settings import load_settings
from ebbtide.tasks import steps

__all__ = ["HeldCluster", "RunResult", "TaskGroup", "cluster", "job", "parallel"]


@documented(JobOptions)
def job(*program: object, name: str = "", **options: Unpack[JobOptions]) -> RunResult:
    """Run a program on a cluster of its own, as a part of this flow; waits for its end.

    Seen in the UI as a task of this flow with the job's name and, below it, a flow run named like
    the run, with the seven tasks.

    Args:
        program: the program and its arguments. It runs in its own folder unless ``workdir`` says
            otherwise: a worker starts flows in a folder that is gone afterwards.
        name: of the job in this flow; the program's when not given. The same name and arguments
            are the same job.
        options: as below.

    Returns:
        How it ended, with its output.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        EbbError: what the run failed with.
    """
    argv = tuple(str(part) for part in program)
    label = name or (Path(argv[0]).stem if argv else "job")
    asked = {"workdir": folder_of(argv), **options}
    return keyed_job(argv, asked, label=label, key=job_key(label, argv, options))


def keyed_job(
    argv: tuple[str, ...], options: Mapping[str, Any], *, label: str, key: str
) -> RunResult:
    """Run a job whose key is not that of the calling flow run alone; once, like ``job``.

    Args:
        argv: the program and its arguments.
        options: the options of its run by name.
        label: the name of the task that shows it in Prefect.
        key: identifies the job; one that has succeeded is not run again.

    Returns:
        The result of the run.

    Raises:
        EbbError: what the run failed with.
    """
    request = RunRequest(argv=argv, options=dict(options))
    return _job.with_options(task_run_name=label)(request, key)


@task(name="job", cache_policy=NO_CACHE, persist_result=False)
def _job(request: RunRequest, key: str) -> RunResult:
    settings = settings_here(os.environ, Path.cwd(), request.options)
    store = open_store(settings)
    match look_up(store, key):
        case Done(run):
            get_run_logger().info("done before, by run %s", run.name)
            return result_of(settings, run)
        case Running(run):
            name = run.name
        case New():
            name = begin(store, request, key=key).name
    store.close()
    with stoppable(partial(stop_run, settings, name, Reason.CANCELLED)):
        _as_flow_run(name, request)
    ended = store.run(name)
    assert ended is not None
    return result_of(settings, ended)


def _as_flow_run(run: RunName, request: RunRequest) -> None:
    carry = _carry_out.with_options(flow_run_name=run)
    try:
        carry(list(request.argv or ()), dict(request.options), run)
    except CancelledRun:
        raise JobError(Reason.CANCELLED) from None
    except Pause:
        _end_flow_run_of(run)
        raise


def _end_flow_run_of(run: RunName) -> None:
    """The parent's suspension leaves a child's flow run as it was, Running for ever: end it."""
    found = open_store(load_settings()).run(run)
    if found is None or found.flow_run_id is None:
        return
    id_ = UUID(found.flow_run_id)
    message = "its flow was suspended; the job is run when that is resumed"
    done = found.phase is Phase.SUCCEEDED
    state: State[None] = Completed() if done else Cancelled(message=message)
    with get_client(sync_client=True) as client:
        now = client.read_flow_run(id_).state
        if now is None or now.type is not state.type:  # the same again would be an event of its own
            client.set_flow_run_state(id_, state, force=True)


@flow(name="job", validate_parameters=False, persist_result=False)
def _carry_out(program: list[str], options: dict[str, Any], run: str) -> Any:  # noqa: ARG001
    """One job of another flow. What it was asked for is a parameter so that Prefect shows it.

    Args:
        program: the program and its arguments.
        options: those of ``ebb run``.
        run: that has begun for it.
    """
    settings = settings_here(os.environ, Path.cwd())
    id_ = register_process(settings)
    store = open_store(settings)
    found = store.run(RunName(run))
    assert found is not None
    try:
        drive(settings, store, found.spec, SEVEN, flow_run_id=id_, watching=reporting(settings))
    except EbbError as error:
        return ended_by(error)
    return None


def _run_user_job(attempt: Attempt) -> Any:
    """A flow that shall be suspended is so between jobs: a program that has begun may end."""
    try:
        return steps.run_user_job(attempt)
    except Pause:
        view = attempt.platform.observe(attempt.cluster)
        if view is None or view.job.started_at is None:
            raise
        return plain.run_user_job(attempt)


def _tear_down(attempt: Attempt, reason: Reason | None) -> None:
    """Every task of a flow that shall be suspended raises Pause, also the one that releases."""
    try:
        steps.tear_down(attempt, reason)
    except Pause:
        plain.tear_down(attempt, reason)


SEVEN = seven_steps({Step.RUN_USER_JOB: _run_user_job, Step.TEAR_DOWN: _tear_down})
"""The seven tasks, in a way that a suspension neither loses a result nor a cluster."""
