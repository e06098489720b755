"""A cluster that a flow holds for several programs: adopted or replaced when the flow runs again.

A suspended flow is not there to want its cluster, so it is released and made anew on resume, unless
``keep_while_suspended`` says how long its lease shall last without it; that works once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Unpack

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import Pause

from ebbtide.flows.api import Cluster
from ebbtide.flows.authoring.identity import cluster_key, root_flow_run
from ebbtide.flows.authoring.parallel import stoppable
from ebbtide.flows.authoring.seven_steps import seven_steps
from ebbtide.infra.errors import (
    ConfigurationError,
    Problem,
    ReleaseError,
    error_for,
)
from ebbtide.infra.lifecycle import steps as plain
from ebbtide.infra.lifecycle.held_programs import Program, done_before, folder_for, run_on
from ebbtide.infra.lifecycle.once import Running, begin, look_up, take_over
from ebbtide.infra.lifecycle.outcome import RunResult
from ebbtide.infra.lifecycle.provision import Suspension, session
from ebbtide.infra.lifecycle.steps import Attempt, attempt_of
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.lifecycle.submission import session_request
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.orders import Keep
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.models.resources import format_duration, parse_duration_s
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.catalog import settings_here
from ebbtide.infra.request.keywords import ClusterOptions
from ebbtide.infra.settings import Settings
from ebbtide.tasks import steps

_LONGEST_KEEP_S = 12 * 3600.0


class HeldCluster(Cluster):
    """A living cluster, held by ``with cluster(...) as held`` inside a flow."""

    def __init__(self, attempt: Attempt, view: ClusterView, settings: Settings, key: str):
        super().__init__(attempt, view, settings)
        self._key = key

    def _run(self, program: Program) -> RunResult:
        """As a task of the flow; what an earlier run of the same flow has done is kept."""
        run = _run_program.with_options(task_run_name=program.name)
        return run(self._attempt, self._settings, self._key, program)


@contextlib.contextmanager
def cluster(
    framework: str = "dask",
    *,
    name: str = "cluster",
    keep_while_suspended: str | None = None,
    **options: Unpack[ClusterOptions],
) -> Iterator[HeldCluster]:
    """Hold a cluster for the programs of one flow; released however the block is left.

    Args:
        framework: its name.
        name: tells it apart from other clusters of the same flow.
        keep_while_suspended: such as ``"30m"``: a suspended flow keeps it for so long (12 h at
            most), once; else it is released and made anew on resume. A flow that is merely paused
            stays in its process and keeps its cluster in any case.
        options: those of ``ebb run``, with underscores.

    Yields:
        The cluster, with the minimum of its workers registered.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        CapacityError: there was no room in time.
        ProvisioningError: head or workers did not come.
    """
    keep_s = _keep_s(keep_while_suspended)
    key = cluster_key(name)
    asked = {"framework": framework, **options}
    settings = settings_here(os.environ, Path.cwd(), asked)
    store = open_store(settings)
    found = look_up(store, key)
    if isinstance(found, Running) and _adopted(settings, store, found.run.spec):
        spec = found.run.spec
    else:
        spec = begin(store, session_request(asked), key=key)
    take_over(store, spec.name, root_flow_run())
    attempt = attempt_of(settings, store, spec)
    suspension = Suspension(Pause, partial(_keep, store, attempt, key, keep_s))
    with (
        stoppable(partial(stop_run, settings, spec.name, Reason.CANCELLED)),
        session(settings, store, attempt, _SEVEN, driver="the flow", suspension=suspension) as view,
    ):
        held = HeldCluster(attempt, view, settings, key)
        try:
            yield held
        finally:
            held.close_client()


def _adopted(settings: Settings, store: RunStore, spec: RunSpec) -> bool:
    """Whether what an earlier process of the flow run left can be gone on with; else it is ended.

    Args:
        settings: of this installation.
        store: with the run.
        spec: of the run, which has not ended.
    """
    attempt = attempt_of(settings, store, spec)
    attempt.platform.reap(attempt.cluster)  # what nobody takes care of cannot be adopted
    view = attempt.platform.observe(attempt.cluster)
    if view is None or (view.released_at is None and view.failure is None):
        attempt.platform.renew(attempt.cluster, spec.lease_s)  # it may have been kept for longer
        return True
    lost = runs.cluster_error(view) or error_for(Reason.FLOW_LOST)
    plain.tear_down(attempt, lost.reason)
    runs.end(store, spec.name, lost, lost.exit_code)
    return False


def _tear_down(attempt: Attempt, reason: Reason | None) -> None:
    """As a task, so that it is seen; where Prefect refuses (a suspension, no server), without."""
    try:
        steps.tear_down(attempt, reason)
    except ReleaseError:
        raise
    except BaseException:
        plain.tear_down(attempt, reason)


_SEVEN = seven_steps({Step.TEAR_DOWN: _tear_down})


def _keep(store: RunStore, attempt: Attempt, key: str, keep_s: float | None) -> bool:
    """Let the lease last while the flow is suspended. Returns whether the cluster stays."""
    if keep_s is None or _kept_before(store, key):
        _note(store, attempt, "released: its flow is suspended; it is made anew on resume")
        return False
    stays = attempt.platform.renew(attempt.cluster, keep_s)
    if stays:
        store.order(attempt.cluster, Keep())  # so that it is known to have been kept once
    _note(store, attempt, f"kept for {format_duration(keep_s)} at most: its flow is suspended")
    return stays


def _note(store: RunStore, attempt: Attempt, message: str) -> None:
    run, cluster = attempt.spec.name, attempt.cluster
    store.append(Event(run=run, cluster=cluster, kind=EventKind.NOTE, message=message))


def _kept_before(store: RunStore, key: str) -> bool:
    return any(orders.kept for orders in store.orders_of(key))


def _keep_s(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return min(parse_duration_s(text), _LONGEST_KEEP_S)
    except ValueError as error:
        wrong, _, hint = str(error).partition("; ")
        summary = f"keep_while_suspended: {wrong}"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)]) from error


@task(name="run_program", cache_policy=NO_CACHE, persist_result=False)
def _run_program(attempt: Attempt, settings: Settings, key: str, program: Program) -> RunResult:
    store = open_store(settings)
    done = done_before(settings, store, key, program)
    store.close()
    if done is not None:
        get_run_logger().info("done before: %s", done.run)
        return done
    folder = folder_for(settings, attempt.spec.name, program)
    with stoppable(partial(_stop_program, settings, attempt, folder.name)):
        return run_on(attempt.for_this_thread(settings), folder, program)


def _stop_program(settings: Settings, attempt: Attempt, name: str) -> None:
    attempt.for_this_thread(settings).platform.stop_program(attempt.cluster, name)
