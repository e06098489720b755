"""The main flow: one user program on one cluster of its own, in seven steps.

A failure worth it gets a fresh attempt: a new cluster, after the old one's release is proved.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from prefect import flow

from flows.asking import Request, spec_for
from infra import runs, steps
from infra.errors import EbbError, JobError, ReleaseError
from infra.heartbeat import Heartbeat
from infra.ledger import Ledger
from infra.models.codec import from_json
from infra.models.job import RunSpec
from infra.models.phases import Reason
from infra.platforms.base import load_platform
from infra.settings import Settings, load_settings
from infra.steps import Scene
from infra.waiting import wait_until
from tasks import steps as tasks


@flow(name="run-job", flow_run_name="{run}", validate_parameters=False)
def run_job(
    program: list[str], options: dict[str, Any] | None = None, run: str | None = None
) -> str:
    """Run a program on a cluster of its own.

    Args:
        program: the program and its arguments, such as ``["train.py", "--epochs", "3"]``.
        options: the options of ``ebb run`` without their dashes, such as ``{"workers": "1..8"}``.
        run: a run that is in the ledger already (``ebb run`` writes it there first).

    Returns:
        The run's name. Raises the run's error otherwise.
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
    try:
        _attempts(settings, ledger, spec)
    except EbbError as error:
        runs.end(ledger, spec.name, error, error.exit_code)
        raise
    except BaseException:
        error = JobError(Reason.CANCELLED)
        runs.end(ledger, spec.name, error, error.exit_code)
        raise
    runs.end(ledger, spec.name, None, 0)
    return spec.name


def _attempts(settings: Settings, ledger: Ledger, spec: RunSpec) -> None:
    for attempt in range(1, spec.retry.attempts + 1):
        try:
            return _attempt(settings, spec, attempt)
        except EbbError as error:
            if _stopped(ledger, spec.name) or not steps.will_retry(error, spec, attempt):
                raise
            delay_s = error.reason.info.retry_delay_s or 0.0
            words = f"attempt {attempt + 1} of {spec.retry.attempts} in {delay_s:.0f}s"
            ledger.emit(spec.name, "attempt", words, reason=error.reason, detail=error.detail)
            ledger.update_run(spec.name, attempt=attempt + 1)
            wait_until(lambda: _stopped(ledger, spec.name), timeout_s=delay_s)
            if _stopped(ledger, spec.name):
                raise JobError(Reason.CANCELLED) from error
    return None


def _attempt(settings: Settings, spec: RunSpec, attempt: int) -> None:
    """One cluster from request to release. The release never hides the job's own error."""
    cluster = runs.cluster_id(spec.name, attempt)
    platform = load_platform(spec.platform, settings)
    scene = Scene(platform=platform, spec=spec, cluster=cluster, attempt=attempt)
    failure: BaseException | None = None
    with Heartbeat(settings, spec.platform, cluster, spec.lease_s):
        try:
            _six_steps(scene)
        except BaseException as error:
            failure = error
            raise
        finally:
            _release(scene, failure)


def _six_steps(scene: Scene) -> None:
    tasks.request_hardware_tier(scene)
    tasks.wait_for_nodes(scene)
    tasks.start_head(scene)
    tasks.start_workers(scene)
    tasks.attach_autoscaler(scene)
    tasks.run_user_job(scene)


def _release(scene: Scene, failure: BaseException | None) -> None:
    reason = failure.reason if isinstance(failure, EbbError) else None
    if failure is not None and reason is None:
        reason = Reason.CANCELLED
    try:
        tasks.tear_down(scene, reason)
    except ReleaseError:
        if failure is None:
            raise


def _stopped(ledger: Ledger, run: str) -> bool:
    row = ledger.run(run)
    return row is not None and row["stop_reason"] is not None
