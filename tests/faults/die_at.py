"""A flow that is killed at one step: ``python -m tests.faults.die_at SPEC [STEP WHO] [--prefect]``.

It does what the flow process does (begin the run, sign in, carry out its attempts), only that the
named step of ``infra.lifecycle.steps`` first ends WHO (flow, supervisor, both) with SIGKILL.
Without a step it is a plain flow process; for a run that is in the ledger it goes on with that run.

When the fault comes: step 1 as soon as the cluster is declared and has a supervisor, step 6 while
the program runs, every other step at its beginning. Only the first attempt is hit.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.models.codec import from_json
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Step
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.processes.identity import started_ticks
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import load_settings
from tests.helpers import wait_until

PLENTY_S = 120.0


def main(spec_file: Path, fault: list[str], *, prefect: bool) -> int:
    """Carry the run out; gives what its flow process would exit with."""
    settings = load_settings()
    ledger = Ledger(settings.home)
    spec = from_json(RunSpec, spec_file.read_text())
    if ledger.run(spec.name) is None:
        runs.begin(ledger, spec)
    pid = os.getpid()
    ledger.update_run(spec.name, flow_pid=pid, flow_started=started_ticks(pid))
    if fault:
        _arrange(Step(fault[0]), fault[1], settings.home)
    try:
        if prefect:
            importlib.import_module("ebbtide.flows.run_job").adopt_run(run=spec.name)
        else:
            carry_out(settings, ledger, spec, steps)
    except EbbError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _arrange(step: Step, who: str, home: Path) -> None:
    """Put the fault into the step, for the plain flow and for the Prefect tasks alike."""
    original = getattr(steps, step.value)

    def faulty(attempt: steps.Attempt, *more: Any) -> Any:
        if attempt.number > 1:
            return original(attempt, *more)
        assert attempt.spec.job is not None
        place = Path(attempt.spec.job.workdir)
        if step is Step.REQUEST_HARDWARE_TIER:
            original(attempt)
        if step is Step.RUN_USER_JOB:
            attempt.platform.start_job(attempt.cluster)
            wait_until((place / "starts").exists, PLENTY_S, "the program has started")
        _strike(who, home, attempt.cluster, place)
        return None if step is Step.REQUEST_HARDWARE_TIER else original(attempt, *more)

    setattr(steps, step.value, faulty)


def _strike(who: str, home: Path, cluster: str, place: Path) -> None:
    victims = []
    if who in ("supervisor", "both"):

        def born() -> list[int]:
            found = marks.marked(home, ClusterId(cluster))
            return [process.pid for process in found if process.role == "supervisor"]

        victims = wait_until(born, PLENTY_S, "the cluster has a supervisor")
    (place / "killed").write_text(json.dumps({"wall": time.time(), "clock": time.monotonic()}))
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    if who in ("flow", "both"):
        os.kill(os.getpid(), signal.SIGKILL)
    (place / "go").touch()


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if word != "--prefect"]
    sys.exit(main(Path(words[0]), words[1:], prefect="--prefect" in sys.argv))
