"""A run's beginning and end in the store, and what its end means.

Belongs here: the one way to end a run, and reading an outcome from what was observed.
Does not belong here: doing anything about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from ebbtide.infra.errors import CapacityError, EbbError, JobError, ProvisioningError, error_for
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Event, EventKind, ProcessRef, Reserved, Run
from ebbtide.infra.policy.attempts import is_retried
from ebbtide.infra.policy.explain.exits import exit_sentence
from ebbtide.infra.policy.limits import StartDeadline
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s, wall_s

NEXT_TIER = "next_tier"
"""In the data of an event: the tier with which a run goes on; ``number`` is of the cluster left."""


def begin(
    store: RunStore,
    spec: RunSpec,
    *,
    key: str | None = None,
    flow_process: ProcessRef | None = None,
    flow_run_id: str | None = None,
    requested_at: float = 0.0,
) -> RunSpec:
    """Write a run down, before anything of it is made.

    Args:
        store: where it is written.
        spec: of the run.
        key: identifies its job, so that a repeated request finds the run; None for none.
        flow_process: what drives it from its first moment; None: one that registers later.
        flow_run_id: Prefect's id of the flow run that this process is.
        requested_at: when it was asked for (Unix time, seconds), if it had to wait; 0: now.

    Returns:
        The spec, under the next free name when another run has taken this one meanwhile.

    Raises:
        CapacityError: QUEUE_FULL, too many runs wait for its pool already; nothing was written.
    """
    pool, wanted = spec.cluster.pool, spec.name
    while True:
        run = Run(
            name=spec.name,
            spec_json=to_json(spec),
            owner=spec.owner,
            tags=spec.tags,
            key=key,
            flow_process=flow_process,
            flow_run_id=flow_run_id,
            created=requested_at,
        )
        match _reserved(store, run, pool):
            case Reserved.DONE:
                _tell_passed_over(store, spec)
                return spec
            case Reserved.NAME_TAKEN:
                spec = replace(spec, name=free_name(store, wanted))
            case Reserved.QUEUE_FULL:
                raise CapacityError(
                    Reason.QUEUE_FULL,
                    detail=f"pool {pool.name} lets {pool.runs_waiting} runs wait",
                    hint="try again when some have run (ebb ps), stop some (ebb stop RUN), or set a"
                    " larger runs-waiting for the pool in ebb.yaml; a waiting run takes memory",
                )


def _tell_passed_over(store: RunStore, spec: RunSpec) -> None:
    """Tiers that can never fit, of a list in which another does."""
    for left in spec.passed_over:
        message = f"tier {left.tier} is passed over: {left.why}"
        store.append(
            Event(run=spec.name, kind=EventKind.WARNING, message=message, reason=left.reason)
        )


def _reserved(store: RunStore, run: Run, pool: NodePool) -> Reserved:
    """Asked first without the lock: a crowd that is refused disturbs nobody who runs."""
    max_waiting = pool.runs_waiting
    if max_waiting is not None and store.runs_waiting(pool.name) >= max_waiting:
        return Reserved.QUEUE_FULL
    return store.reserve(run, pool=pool.name, max_waiting=max_waiting)


def start_deadline(
    store: RunStore, spec: RunSpec, cluster: ClusterId, attempt: int
) -> StartDeadline:
    """Return by when an attempt's program must have started, on this process's monotonic clock.

    The first attempt counts from the request of its run. A fresh one, after a failure, was asked
    for when its cluster was declared: the program may have run for hours before. One on the next
    tier has what the tier before has left of the time.

    Args:
        store: with the run.
        spec: of the run.
        cluster: of the attempt; it need not be declared yet.
        attempt: 1 = the first.

    Returns:
        The one deadline that all who wait for this attempt to start keep to.
    """
    run, now = store.run(spec.name), wall_s()
    first, first_cluster = _first_asked(store, spec, cluster, attempt)
    if first == 1:
        requested_at = run.created if run is not None else now
    else:
        declared = store.cluster(first_cluster)
        requested_at = declared.created if declared is not None else now
    allowed_s = spec.limits.start_within_s
    return StartDeadline.after(allowed_s, waited_s=now - requested_at, now_s=now_s())


def _first_asked(
    store: RunStore, spec: RunSpec, cluster: ClusterId, attempt: int
) -> tuple[int, ClusterId]:
    """The attempt with which its search for a tier began, and its cluster."""
    if attempt == 1 or not spec.passed_over:
        return attempt, cluster
    left = {event.data["number"] for event in store.events(spec.name) if NEXT_TIER in event.data}
    first = attempt
    while first - 1 in left:
        first -= 1
    asked = (store.cluster(each) for each in store.clusters_of(spec.name))
    before = (each.id for each in asked if each is not None and each.attempt == first)
    return first, next(before, cluster)


def free_name(store: RunStore, wanted: RunName) -> RunName:
    """Return ``wanted``, or ``wanted-2`` and so on when a run of that name is in the store."""
    taken = set(store.run_names(wanted))
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = RunName(f"{wanted}-{number}")
    return name


def end(store: RunStore, run: RunName, error: EbbError | None, exit_code: int) -> bool:
    """Record how a run ended. The first call for a run counts, later ones change nothing.

    Args:
        store: the store that has the run.
        run: its name.
        error: why it ended; None when it succeeded.
        exit_code: what its process exits with.

    Returns:
        Whether this call was the first.
    """
    phase = Phase.SUCCEEDED if error is None else error.reason.info.phase
    if not phase.ended:
        phase = Phase.FAILED
    reason = error.reason if error else None
    detail = _detail(error)
    ended = store.end_run(run, phase, reason, detail, exit_code)
    if ended:
        hint = error.hint if error else ""
        store.append(
            Event(
                run=run,
                kind=EventKind.RUN_ENDED,
                message=detail,
                reason=reason,
                data={"phase": phase.value, "hint": hint},
            )
        )
    return ended


def end_with_cluster(store: RunStore, spec: RunSpec, view: ClusterView) -> bool:
    """End a run with its cluster, which its program's end has released, as its flow would.

    For whoever has proved the release: nobody has to wait for the flow then, which may still have
    to tell Prefect. A run that may get a fresh cluster, and one that did not end by its program
    alone, is left to its flow.

    Args:
        store: the store that has the run.
        spec: of the run, with the tier of that cluster.
        view: what was last seen of the cluster.

    Returns:
        Whether this call has ended the run.
    """
    if view.job.ended_at is None or view.failure is not None:
        return False
    error = job_error(view)
    if error is None:
        return end(store, spec.name, None, 0)
    if not isinstance(error, JobError) or is_retried(error, spec.retry):
        return False
    return end(store, spec.name, error, error.exit_code)


@contextlib.contextmanager
def ended_when_it_fails(
    store: RunStore, run: RunName, unless: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """End the run with its real reason when the block raises; the error is raised again.

    Args:
        store: with the run.
        run: its name.
        unless: whether somebody else will end it.

    Yields:
        Nothing.

    Raises:
        EbbError: in place of whatever else was raised.
    """
    try:
        yield
    except Exception as failure:
        error = launch_error(failure)
        with contextlib.suppress(EbbError):
            if not unless():
                end(store, run, error, error.exit_code)
        if error is failure:
            raise
        raise error from failure


def launch_error(failure: BaseException) -> EbbError:
    """Turn what kept a run from starting into an error that a person can act on."""
    if isinstance(failure, EbbError):
        return failure
    if isinstance(failure, (KeyboardInterrupt, SystemExit)):
        return error_for(Reason.CANCELLED)
    if isinstance(failure, BrokenPipeError):
        return error_for(Reason.READER_GONE)
    detail = repr(failure)[:300]
    if isinstance(failure, OSError) and failure.strerror:
        where = f"{failure.filename}: " if failure.filename else ""
        detail = f"{where}{failure.strerror}"
    return error_for(Reason.LAUNCH_FAILED, detail=detail)


def session_error(failure: BaseException, who: str) -> EbbError:
    """Turn what ended a session into an error; ``who`` raised it. A signal means cancelled."""
    if isinstance(failure, EbbError):
        return failure
    if isinstance(failure, Exception):
        return error_for(Reason.EXIT_CODE, detail=f"{who} raised {failure!r}"[:300])
    return error_for(Reason.CANCELLED)


def job_error(view: ClusterView) -> EbbError | None:
    """Return the error that the program's end means; None when it ended well or has not ended."""
    job = view.job
    if job.ended_at is None or (job.exit_code == 0 and job.reason is None):
        return None
    reason = job.reason or Reason.EXIT_CODE
    if reason.family != JobError.family:
        return error_for(reason, detail=job.detail, hint=job.hint)
    summary = f"the program {exit_sentence(job.exit_code)}" if reason is Reason.EXIT_CODE else ""
    return JobError(
        reason, summary, detail=job.detail, hint=job.hint, program_exit_code=job.exit_code
    )


def cluster_error(view: ClusterView, *, expected_release: bool = False) -> EbbError | None:
    """Return why the cluster cannot serve the run any more; None when it can."""
    if view.failure is not None:
        failure = view.failure
        error = error_for(failure.reason, detail=failure.detail, hint=failure.hint)
        error.in_vain = failure.in_vain
        return error
    if view.released_at is None or expected_release:
        return None
    reason = view.release_reason or Reason.SUPERVISOR_LOST
    if reason.family == "infra":
        return ProvisioningError(
            reason, detail=f"the cluster was released by its {view.released_by}"
        )
    return error_for(reason)


def _detail(error: EbbError | None) -> str:
    return error.message if error is not None else ""
