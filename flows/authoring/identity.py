"""What stays the same when a flow run is run again: the keys of its jobs and clusters."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from prefect.context import FlowRunContext
from prefect.runtime import flow_run as runtime

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason

_DIGEST_CHARS = 8


def root_flow_run() -> str:
    """The id of the flow run that a retry, from the UI too, runs again under the same id.

    Raises:
        ConfigurationError: outside of a flow.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        problem = Problem(
            Reason.OPTION_INVALID,
            "this belongs inside a Prefect flow: its retry must find what it had begun",
            "call it from a function with @flow, or use ebbtide.run and ebbtide.cluster",
        )
        raise ConfigurationError([problem])
    if context.flow_run.parent_task_run_id is None:
        return str(context.flow_run.id)
    return str(runtime.root_flow_run_id)


def job_key(name: str, program: tuple[str, ...], options: Mapping[str, Any]) -> str:
    """Return the key by which a retry of the flow finds the job again.

    The same name with another program or other options is another job: its input has changed.

    Args:
        name: of the job in its flow.
        program: the file or command, and its arguments.
        options: the options of its run by name.

    Returns:
        A text that starts with the id of the flow run.
    """
    asked = json.dumps([program, dict(options)], sort_keys=True, default=str)
    digest = hashlib.sha256(asked.encode()).hexdigest()[:_DIGEST_CHARS]
    return f"{root_flow_run()}/{name}@{digest}"


def cluster_key(name: str) -> str:
    """A cluster that a flow holds."""
    return f"{root_flow_run()}/{name}"
