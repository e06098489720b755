"""A run's attempts: each a cluster from request to release, then perhaps a fresh one.

The flow hands in the seven Prefect tasks; where Prefect cannot be used at all,
the plain steps of ``infra.lifecycle.steps`` do the same, so that a run never fails for its
bookkeeping.
"""

from __future__ import annotations

from typing import Any, Protocol

from ebbtide.infra.errors import EbbError, JobError, ReleaseError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.heartbeat import Heartbeat
from ebbtide.infra.lifecycle.steps import Scene
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.records import runs
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wait_until


class SevenSteps(Protocol):
    """``tasks.steps`` or ``infra.lifecycle.steps``."""

    def request_hardware_tier(self, scene: Scene) -> Any:
        """Step 1."""
        ...

    def wait_for_nodes(self, scene: Scene) -> Any:
        """Step 2."""
        ...

    def start_head(self, scene: Scene) -> Any:
        """Step 3."""
        ...

    def start_workers(self, scene: Scene) -> Any:
        """Step 4."""
        ...

    def attach_autoscaler(self, scene: Scene) -> Any:
        """Step 5."""
        ...

    def run_user_job(self, scene: Scene) -> Any:
        """Step 6."""
        ...

    def tear_down(self, scene: Scene, reason: Reason | None) -> Any:
        """Step 7."""
        ...


def carry_out(settings: Settings, ledger: RunStore, spec: RunSpec, seven: SevenSteps) -> None:
    """Drive a run until it has succeeded, failed for good, or was stopped, and record its end.

    Args:
        settings: of this installation.
        ledger: the store that has the run.
        spec: of the run.
        seven: the seven steps, as Prefect tasks or plain.

    Raises:
        EbbError: what the run failed with.
    """
    try:
        _attempts(settings, ledger, spec, seven)
    except EbbError as error:
        runs.end(ledger, spec.name, error, error.exit_code)
        raise
    except BaseException:
        # Prefect's own signals (a cancelled flow run) are BaseExceptions.
        cancelled = JobError(Reason.CANCELLED)
        runs.end(ledger, spec.name, cancelled, cancelled.exit_code)
        raise
    runs.end(ledger, spec.name, None, 0)


def _attempts(settings: Settings, ledger: RunStore, spec: RunSpec, seven: SevenSteps) -> None:
    for attempt in range(_first_attempt(ledger, spec), spec.retry.attempts + 1):
        try:
            return _attempt(settings, spec, attempt, seven)
        except EbbError as error:
            if _stopped(ledger, spec.name) or not steps.will_retry(error, spec, attempt):
                raise
            _wait_before_next(ledger, spec, attempt, error)
    return None


def _first_attempt(ledger: RunStore, spec: RunSpec) -> int:
    """Where an earlier flow process of the same run had got to."""
    run = ledger.run(spec.name)
    return run.attempt if run is not None else 1


def _wait_before_next(ledger: RunStore, spec: RunSpec, attempt: int, error: EbbError) -> None:
    delay_s = error.reason.info.retry_delay_s or 0.0
    words = f"{error.summary}; attempt {attempt + 1} of {spec.retry.attempts} in {delay_s:.0f}s"
    ledger.append(
        Event(
            run=spec.name,
            kind=EventKind.ATTEMPT,
            message=words,
            reason=error.reason,
            data={"detail": error.detail},
        )
    )
    ledger.set_attempt(spec.name, attempt + 1)
    if wait_until(lambda: _stopped(ledger, spec.name), timeout_s=delay_s):
        raise JobError(Reason.CANCELLED) from error


def _attempt(settings: Settings, spec: RunSpec, attempt: int, seven: SevenSteps) -> None:
    """One cluster. Its release never hides the job's own error."""
    cluster = runs.cluster_id(spec.name, attempt)
    platform = load_platform(spec.platform, settings)
    scene = Scene(platform=platform, spec=spec, cluster=cluster, attempt=attempt)
    failure: BaseException | None = None
    with Heartbeat(settings, spec.platform, cluster, spec.lease_s):
        try:
            seven.request_hardware_tier(scene)
            seven.wait_for_nodes(scene)
            seven.start_head(scene)
            seven.start_workers(scene)
            seven.attach_autoscaler(scene)
            seven.run_user_job(scene)
        except BaseException as error:
            failure = error
            raise
        finally:
            _release(scene, failure, seven)


def _release(scene: Scene, failure: BaseException | None, seven: SevenSteps) -> None:
    reason = failure.reason if isinstance(failure, EbbError) else None
    if failure is not None and reason is None:
        reason = Reason.CANCELLED
    try:
        seven.tear_down(scene, reason)
    except ReleaseError:
        if failure is None:
            raise
    except BaseException:
        # Told to go while it releases: the order stands, and the supervisor carries it out.
        scene.platform.release(scene.cluster, reason or Reason.CANCELLED)
        raise


def _stopped(ledger: RunStore, run: RunName) -> bool:
    found = ledger.run(run)
    return found is not None and found.stop_reason is not None
