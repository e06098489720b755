"""The main flow: one user program on one cluster of its own, in seven tasks.

A failure worth it gets a fresh attempt: a new cluster, after the old one's release is proved.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from ebbtide.flows import form
from ebbtide.flows.prefect_state import hooks
from ebbtide.flows.prefect_state.registration import ended_by, register_process, reporting
from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.once import run_once, take_over
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.request.catalog import settings_here
from ebbtide.infra.settings import load_settings
from ebbtide.tasks import steps

_NAME = "run-job"


@flow(
    name=_NAME,
    validate_parameters=False,
    on_cancellation=[hooks.release],
    on_crashed=[hooks.release],
    on_failure=[hooks.release],
)
def run_job(
    program: str = "hello",
    arguments: str = "",
    cluster: form.Cluster = form.Cluster(),  # noqa: B008  the form shows these defaults
    limits: form.Limits = form.Limits(),  # noqa: B008
    options: dict[str, Any] | None = None,
) -> str | State[Any]:
    """Run a program on a cluster of its own, which grows and shrinks with its load.

    Args:
        program: A script, a command, or hello for the built-in example, such as train.py. A
            relative path starts where `ebb up` was called (or at the option workdir).
        arguments: What the program is called with, such as --epochs 3 --name 'two words'.
        cluster: What it runs on.
        limits: How long things may take.
        options: Any other option of `ebb run`, without dashes, such as {"head-tier": "small",
            "env": {"A": "1"}, "retry": "never", "tag": ["nightly"]}.

    Returns:
        The run's name.

    Raises:
        EbbError: what the run failed with.
    """
    settings = settings_here(os.environ, Path.cwd())
    id_ = register_process(settings)
    try:
        request = form.request_of(program, arguments, cluster, limits, options, flow_run.get_name())
        settings = settings_here(os.environ, Path.cwd(), request.options)
        done = run_once(
            settings, request, steps, key=id_, flow_run_id=id_, watching=reporting(settings)
        )
    except EbbError as error:
        return ended_by(error)
    return done.run


@flow(name=_NAME, validate_parameters=False)
def adopt_run(run: str) -> str | State[Any]:
    """Carry out a run that ``ebb run`` has begun.

    Args:
        run: its name in the store.

    Returns:
        The run's name.

    Raises:
        EbbError: what the run failed with.
    """
    settings, name = load_settings(), RunName(run)
    store = open_store(settings)
    found = store.run(name)
    if found is None:
        raise error_for(Reason.RUN_UNKNOWN, detail=run)
    take_over(store, name, register_process(settings))
    try:
        with reporting(settings)(name):
            carry_out(settings, store, found.spec, steps)
    except EbbError as error:
        return ended_by(error)
    return run
