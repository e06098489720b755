"""``run-job``, held at one of its steps, so that something can happen to it just there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from ebbtide.flows import form
from ebbtide.flows.prefect_state import hooks
from ebbtide.flows.run_job import run_job
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.waiting import wait_until


@flow(
    name="held-run",
    validate_parameters=False,
    on_cancellation=[hooks.release],
    on_crashed=[hooks.release],
)
def held_run(step: str, mark: str, program: str = "quick.py", framework: str = "none") -> Any:
    """Like run-job; at the step a file named by ``mark`` appears, and nothing goes on."""
    original = getattr(steps, step)

    def held(*words: Any) -> Any:
        if not Path(mark).exists():
            Path(mark).touch()
            wait_until(lambda: False, timeout_s=300)
        return original(*words)

    setattr(steps, step, held)
    return run_job.fn(
        program=program, cluster=form.Cluster(framework=framework), options={"retry": "never"}
    )
