"""The main flow: one user program on one cluster of its own, in seven tasks.

A failure worth it gets a fresh attempt: a new cluster, after the old one's release is proved.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect import flow

from flows.asking import Request, spec_for
from flows.attempts import carry_out
from infra import runs
from infra.ledger import Ledger
from infra.models.codec import from_json
from infra.models.job import RunSpec
from infra.settings import load_settings
from tasks import steps


@flow(name="run-job", validate_parameters=False)
def run_job(
    program: list[str], options: dict[str, Any] | None = None, run: str | None = None
) -> str:
    """Run a program on a cluster of its own.

    Args:
        program: the program and its arguments, such as ``["train.py", "--epochs", "3"]``.
        options: the options of ``ebb run`` without their dashes, such as ``{"workers": "1..8"}``.
        run: a run that is in the ledger already (``ebb run`` writes it there first).

    Returns:
        The run's name.

    Raises:
        EbbError: what the run failed with.
    """
    settings = load_settings()
    ledger = Ledger(settings.home)
    row = ledger.run(run) if run else None
    if row is not None:
        spec = from_json(RunSpec, row["spec"])
    else:
        request = Request(words=tuple(program), options=options or {}, name=run)
        spec = spec_for(request, ledger, os.environ, Path.cwd())
        runs.begin(ledger, spec)
    carry_out(settings, ledger, spec, steps)
    return spec.name
