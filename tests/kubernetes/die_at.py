"""A flow in a process of its own: ``python -m tests.kubernetes.die_at SPEC [STEP]``.

With a step it is killed there: after 1 has declared the cluster, in 6 while the program runs, at
the beginning of every other. Where the runs are says the environment, as it does for ``ebb``.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.models.codec import from_json
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Step
from ebbtide.infra.settings import load_settings
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import drive

_PATIENCE_S = 90.0


def main(spec_file: Path, step: str = "") -> int:
    """Drive the run; returns what its process exits with."""
    if step:
        _arrange(Step(step))
    try:
        drive(load_settings(), from_json(RunSpec, spec_file.read_text()))
    except EbbError as error:
        return error.exit_code
    return 0


def _arrange(step: Step) -> None:
    original = getattr(steps, step.value)

    def faulty(attempt: steps.Attempt, *more: Any) -> Any:
        if step is Step.REQUEST_HARDWARE_TIER:
            original(attempt, *more)
        if step is Step.RUN_USER_JOB:
            attempt.platform.start_job(attempt.cluster)
            wait_until(lambda: _runs(attempt), _PATIENCE_S, "the program runs")
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(steps, step.value, faulty)


def _runs(attempt: steps.Attempt) -> bool:
    view = attempt.platform.observe(attempt.cluster)
    return view is not None and view.job.started_at is not None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
