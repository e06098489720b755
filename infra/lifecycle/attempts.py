"""A run's attempts: each a cluster from request to release, then perhaps a fresh one.

The flow hands in the seven Prefect tasks; where Prefect cannot be used at all,
the plain steps of ``infra.lifecycle.steps`` do the same, so that a run never fails for its
bookkeeping.
"""

from __future__ import annotations

import contextlib

from ebbtide.infra.errors import EbbError, JobError, ProvisioningError, error_for
from ebbtide.infra.lifecycle.provision import SevenSteps, provisioned
from ebbtide.infra.lifecycle.steps import attempt_of
from ebbtide.infra.lifecycle.stop import is_driven_elsewhere
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.platforms.base import HeldResource, load_platform
from ebbtide.infra.policy.attempts import Failures, failed_alike, is_retried
from ebbtide.infra.policy.tiers import next_of
from ebbtide.infra.records import runs
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wait_until

_PROGRAM = "driver"
"""The role of what runs the user's program."""
_LOOK_S = 5.0


def carry_out(settings: Settings, store: RunStore, spec: RunSpec, seven: SevenSteps) -> None:
    """Drive a run until it has succeeded, failed for good, or was stopped, and record its end.

    Where another process that lives drives its cluster, this one follows, and records no end.

    Args:
        settings: of this installation.
        store: the store that has the run.
        spec: of the run.
        seven: the seven steps, as Prefect tasks or plain.

    Raises:
        EbbError: what the run failed with.
    """
    try:
        _attempts(settings, store, spec, seven)
    except EbbError as error:
        _record_failure(settings, store, spec.name, error)
        raise
    except BaseException:
        # Prefect's own signals (a cancelled flow run) are BaseExceptions.
        _record_failure(settings, store, spec.name, JobError(Reason.CANCELLED))
        raise
    if not is_driven_elsewhere(settings, store, spec.name):
        runs.end(store, spec.name, None, 0)


def _record_failure(settings: Settings, store: RunStore, run: RunName, error: EbbError) -> None:
    """Where it cannot be written, whoever looks next settles it; the failure itself is raised."""
    if is_driven_elsewhere(settings, store, run):
        return
    with contextlib.suppress(EbbError):
        runs.end(store, run, error, error.exit_code)


def _attempts(settings: Settings, store: RunStore, spec: RunSpec, seven: SevenSteps) -> None:
    number, failures = _so_far(store, spec)
    _obey_stop(settings, store, spec, number)
    before: EbbError | None = None
    while True:
        _let_earlier_programs_end(settings, store, spec, number, before)
        try:
            return _carry_out_one(settings, store, spec, number, seven)
        except EbbError as error:
            if _stopped(store, spec.name):
                raise
            on_the_next_tier = next_of(spec, error)
            if on_the_next_tier is not None:
                _take_next_tier(store, on_the_next_tier, number, error)
                spec, number, before = on_the_next_tier, number + 1, None
                continue
            if not is_retried(error, spec.retry):
                raise
            no_more = failures.spent(error, spec.retry) or failed_alike(before, error)
            if no_more:
                if failures.reasons:
                    _say_no_more(store, spec.name, no_more, error)
                raise
            number, before, failures = number + 1, error, failures.and_(error.reason)
            _wait_before_next(store, spec, number, failures, error)


def _obey_stop(settings: Settings, store: RunStore, spec: RunSpec, number: int) -> None:
    """Declare nothing for a run that was stopped before it had this cluster."""
    run = store.run(spec.name)
    if run is None or run.stop_reason is None:
        return
    cluster = load_platform(spec.platform, settings, store).cluster_id(spec.name, number)
    if cluster not in store.clusters_of(spec.name):
        raise error_for(run.stop_reason)


def _let_earlier_programs_end(
    settings: Settings, store: RunStore, spec: RunSpec, number: int, before: EbbError | None
) -> None:
    """Begin no cluster while the program of an earlier one may still run: of each run one lives.

    On a machine that does not answer it may, whatever else of its cluster has been released.
    """
    if number == 1:
        return
    platform = load_platform(spec.platform, settings, store)
    now = platform.cluster_id(spec.name, number)
    earlier = [cluster for cluster in platform.clusters(spec.name) if cluster != now]

    def living() -> list[HeldResource]:
        held = (one for cluster in earlier for one in platform.held(cluster))
        return [one for one in held if one.role == _PROGRAM]

    may_live = living()
    if not may_live:
        return
    names = ", ".join(f"{one.name} ({one.where})" for one in may_live)
    until = next((one.until for one in may_live if one.until), "until it has ended")
    message = f"cluster {number} waits for an earlier program that may still run: {names}; {until}"
    store.append(Event(run=spec.name, kind=EventKind.WARNING, message=message))
    limit_s = spec.limits.start_within_s
    wait_until(
        lambda: not living() or _stopped(store, spec.name), timeout_s=limit_s, longest_s=_LOOK_S
    )
    if _stopped(store, spec.name):
        raise JobError(Reason.CANCELLED)
    if living():
        raise before or ProvisioningError(Reason.NODE_LOST, detail=message)


def _say_no_more(store: RunStore, run: RunName, why: str, error: EbbError) -> None:
    message = f"there is no further cluster: {why}"
    store.append(Event(run=run, kind=EventKind.WARNING, message=message, reason=error.reason))


def _so_far(store: RunStore, spec: RunSpec) -> tuple[int, Failures]:
    """Which cluster an earlier flow process of the same run had got to, and why others failed."""
    run, events = store.run(spec.name), store.events(spec.name)
    failed = [event for event in events if event.kind is EventKind.ATTEMPT]
    reasons = (event.reason for event in failed if runs.NEXT_TIER not in event.data)
    reached = run.attempt if run is not None else 1
    return max(reached, 1 + len(failed)), Failures(tuple(filter(None, reasons)))


def _take_next_tier(store: RunStore, spec: RunSpec, number: int, error: EbbError) -> None:
    """Write down that a run goes on with another tier; ``number``: of the cluster that failed."""
    left, name = spec.passed_over[-1], spec.cluster.tier.name
    store.append(
        Event(
            run=spec.name,
            kind=EventKind.ATTEMPT,
            message=f"tier {left.tier}: {left.why}; the next tier is {name}",
            reason=error.reason,
            data={runs.NEXT_TIER: name, "number": number},
        )
    )
    store.set_attempt(spec.name, number + 1, spec)


def _wait_before_next(
    store: RunStore, spec: RunSpec, number: int, failures: Failures, error: EbbError
) -> None:
    delay_s = error.reason.info.retry_delay_s or 0.0
    message = f"{error.summary}; in {delay_s:.0f}s {failures.told(spec.retry)}"
    store.append(
        Event(
            run=spec.name,
            kind=EventKind.ATTEMPT,
            message=message,
            reason=error.reason,
            data={"detail": error.detail},
        )
    )
    store.set_attempt(spec.name, number)
    if wait_until(lambda: _stopped(store, spec.name), timeout_s=delay_s):
        raise JobError(Reason.CANCELLED) from error


def _carry_out_one(
    settings: Settings, store: RunStore, spec: RunSpec, number: int, seven: SevenSteps
) -> None:
    attempt = attempt_of(settings, store, spec, number)
    with provisioned(settings, attempt, seven):
        seven.run_user_job(attempt)


def _stopped(store: RunStore, run: RunName) -> bool:
    """Whether there is to be no fresh attempt: somebody said so, or has ended the run."""
    found = store.run(run)
    return found is not None and (found.stop_reason is not None or found.over)
