"""Step 7, the supervisor's part: end everything within seconds and record that nothing is left.

Release never drains. The program gets SIGTERM and three seconds; head and workers have nothing to
lose any more and are killed.
"""

from __future__ import annotations

import os

from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.files.private import make_private
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.orders import Release
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.supervisor.cluster import ClusterContext
from ebbtide.infra.platforms.run_folder import ARTIFACTS
from ebbtide.infra.records import runs
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s, wait_until

_RECORD_TIMEOUT_S = 60.0


def release(
    context: ClusterContext, order: Release, workers: int, *, expired: str | None = None
) -> bool:
    """Give everything back.

    Args:
        context: whose.
        order: why and how.
        workers: how many there were, for the last line.
        expired: set when nobody renewed the lease, so that nobody is there to end the run: why, in
            words; may be empty.

    Returns:
        Whether nothing is left.
    """
    ledger, reporter, place = context.ledger, context.reporter, context.place
    reason, began_s = order.reason, now_s()
    reporter.phase(Phase.RELEASING)
    driver = context.driver
    if driver is not None and driver.running:
        driver.end(reason or Reason.CANCELLED, "", at_once=order.at_once)
        # Told now, as the time that it ran is not the release's; a failure has been told already.
        if driver.poll("") and reporter.view.failure is None:
            reporter.job_ended(driver.view)
    spare = frozenset({os.getpid(), os.getppid()})
    folder = context.layout.folder
    left = marks.sweep(place.home, place.cluster, folder, spare=spare, my_children=True)
    make_private(place.logs / ARTIFACTS)
    message = context.output.finish()
    if message:
        reporter.event(EventKind.NOTE, message)
    if left:
        pids = [process.pid for process in left]
        message = f"still alive: {pids}"
        reporter.event(EventKind.WARNING, message, reason=Reason.RELEASE_INCOMPLETE)
    else:
        # Measured here: after a session, or a long retry, the step before ended long ago.
        took_s = round(now_s() - began_s, 2)
        reporter.done(Step.TEAR_DOWN, _released(workers, context), took_s=took_s)
    wait_until(lambda: _recorded(ledger, context, reason), timeout_s=_RECORD_TIMEOUT_S)
    if expired is not None:
        _end_run(ledger, reporter.view, place.run, expired)
    return not left


def _released(workers: int, context: ClusterContext) -> str:
    if not context.spec.cluster.has_workers:
        return "the program"
    return f"head, {workers} worker{'s' * (workers != 1)}"


def _recorded(ledger: RunStore, context: ClusterContext, reason: Reason | None) -> bool:
    """The spill is gone by now, so even a disk that was full has room for this row."""
    try:
        context.reporter.flush()
        context.recorder.flush()
        ledger.mark_released(context.place.cluster, by="supervisor", reason=reason)
    except EbbError:
        return False
    return True


def _end_run(ledger: RunStore, view: ClusterView, run: RunName, because: str) -> None:
    """Nobody is there to say how the run ended: say it, from what the program did."""
    program_ended = view.job.ended_at is not None and view.job.reason is not Reason.LEASE_LAPSED
    lost = Reason.LEASE_LAPSED if because else Reason.FLOW_LOST
    error = runs.job_error(view) if program_ended else error_for(lost, detail=because)
    code = 0 if error is None else error.exit_code
    try:
        runs.end(ledger, run, error, code)
    except EbbError:
        return
