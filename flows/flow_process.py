"""The process a run's flow lives in: ``python -m ebbtide.flows.flow_process RUN``.

It starts while the run's first cluster is declared, and begins when it is told to. It renews the
lease from then on, long before Prefect is imported, and stops the run when whoever started it goes
away without a word. Its output goes to the run's ``flow.log``.

It may outlive its run, and whoever started it: what Prefect has to be told of a run takes longer
than the run's end, which nobody has to wait for.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback

from ebbtide.flows.launch import BEGIN, KEEP
from ebbtide.flows.prefect_server import api, server
from ebbtide.infra.errors import ConfigurationError, EbbError
from ebbtide.infra.lifecycle import reaper, steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.heartbeat import Heartbeat
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.records import Event, EventKind, FlowTimes
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.processes.environment import reach_this_machine_directly
from ebbtide.infra.processes.identity import started_at, this_process
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import now_s, wait_until, wall_s

_HEAD_START_S = 10.0
_FIRST_OUTPUT_S = 2.0
_SHOWN_WAITING = 10
"""So many of those that wait are in Prefect."""
_LONGEST_LOOK_S = 2.0
_SERVER_TIMEOUT_S = 300.0
_SERVER_IDLE_S = 900.0
_CHECK_TIMEOUT_S = 10.0


def main(run: RunName) -> int:
    """Run the flow of a run that is in the store, and return the run's exit code."""
    reach_this_machine_directly(os.environ)
    settings = load_settings()
    store = open_store(settings)
    found = store.run(run)
    if found is None:
        print(f"no run {run} in {settings.home}", file=sys.stderr)
        return ExitCode.MISCONFIGURATION
    spec = found.spec
    store.register_flow_process(run, this_process(), found.flow_run_id)
    signal.signal(signal.SIGTERM, lambda *_: stop_run(settings, run, Reason.CANCELLED))
    first = load_platform(spec.platform, settings).cluster_id(run, 1)
    clock = _Clock()
    if _said_by_starter(BEGIN):
        clock.note("begun_at")
        threading.Thread(target=_watch_starter, args=(settings, run, clock), daemon=True).start()
    elif _is_over(store, run):  # it could not be launched, and whoever tried has said so
        return _exit_code(store, run)
    else:
        stop_run(settings, run, Reason.STARTER_LOST)
    with Heartbeat(settings, spec.platform, first, spec.lease_s):
        _run_flow(settings, store, spec, clock)
    return _exit_code(store, run)


class _Clock:
    """Notes when this process got how far, for ``ebb why --timing``; told twice, not each time."""

    def __init__(self) -> None:
        self._times = {"started_at": started_at(os.getpid())}

    def note(self, moment: str, at: float | None = None) -> None:
        """One field of ``FlowTimes``: now, or at a time (Unix time, seconds)."""
        self._times[moment] = at or wall_s()

    def tell(self, store: RunStore, run: RunName) -> None:
        """Write down what has been noted."""
        data = to_data(FlowTimes(**self._times))
        with contextlib.suppress(EbbError):  # nothing depends on it
            store.append(
                Event(run=run, kind=EventKind.TIMED, message="the flow process", data=data)
            )

    def tell_recorded(self, store: RunStore, run: RunName) -> None:
        """Write down that Prefect's record is finished, where there is one."""
        self.note("recorded_at")
        with contextlib.suppress(EbbError):
            for one in store.registered():
                if one.process == this_process():
                    self.note("recording_at", one.registered_at)
                    self.tell(store, run)


def _run_flow(settings: Settings, store: RunStore, spec: RunSpec, clock: _Clock) -> None:
    """Run with Prefect, or without where it cannot be used: no run fails for its records."""
    if not settings.prefect_server and api.named(os.environ) is None:
        with contextlib.suppress(EbbError):  # recorded where it was raised
            carry_out(settings, store, spec, steps)
        return
    _let_the_program_start(settings, store, spec)
    clock.note("waited_at")
    try:
        os.environ.update(_prefect_environment(settings, store, spec.name))
        clock.note("server_at")
        # Only now: importing Prefect reads the environment, and takes its time.
        flow = importlib.import_module("ebbtide.flows.run_job").adopt_run
        clock.note("imported_at")
        clock.tell(store, spec.name)
        flow.with_options(flow_run_name=spec.name)(run=spec.name)
    except BaseException as error:
        traceback.print_exc()
        if _ended_unrecorded(store, spec.name):
            _warn_unrecorded(store, spec.name, error)
        go_on_unrecorded(settings, store, spec, error)
        if not isinstance(error, EbbError):
            return
    clock.tell_recorded(store, spec.name)
    reaper.sign_off(store)


def _ended_unrecorded(store: RunStore, run: RunName) -> bool:
    """Whether a run is over of which Prefect has no flow run: its cluster's owner has ended it."""
    found = store.run(run)
    return found is not None and found.over and found.flow_run_id is None


def _warn_unrecorded(store: RunStore, run: RunName, error: BaseException) -> None:
    message = f"{reaper.UNRECORDED}{_why_not_recorded(error)}"
    store.append(Event(run=run, kind=EventKind.WARNING, message=message))


def go_on_unrecorded(
    settings: Settings, store: RunStore, spec: RunSpec, error: BaseException
) -> None:
    """Carry a run out without Prefect after Prefect has failed, and say so, unless it is over.

    Args:
        settings: of this process.
        store: with the run.
        spec: of the run.
        error: what Prefect failed with.
    """
    if _is_over(store, spec.name):
        return
    _warn_unrecorded(store, spec.name, error)
    with contextlib.suppress(EbbError):  # recorded where it was raised
        carry_out(settings, store, spec, steps)


def _let_the_program_start(settings: Settings, store: RunStore, spec: RunSpec) -> None:
    """Wait until the cluster and the program have started, before Prefect is imported.

    Importing Prefect takes a core for a second. A program imports its framework before it prints
    anything, so its first output is waited for.
    """
    platform = load_platform(spec.platform, settings)
    stdout = platform.logs(spec.name, "job")["stdout"]
    cluster = platform.cluster_id(spec.name, 1)

    def look() -> ClusterView | None:
        platform.reap(cluster)  # what nobody takes care of will never get any further
        return platform.observe(cluster)

    def near_its_turn() -> bool:
        view = look()
        if view is None or view.queue is None or view.released_at or view.failure:
            return True
        return view.queue.position <= _SHOWN_WAITING

    def started_or_stuck() -> bool:
        view = look()
        if view is None or view.released_at is not None:
            return True
        return bool(view.job.started_at or view.failure or view.queue)

    def said_something() -> bool:
        view = look()
        over = view is None or view.job.started_at is None or view.job.ended_at is not None
        return over or bool(stdout.read())

    wait_until(started_or_stuck, timeout_s=_HEAD_START_S)
    # A crowd that waits must not fill the memory with Prefect: who stands far behind comes later.
    left_s = runs.start_deadline(store, spec, cluster, 1).left_s(now_s())
    wait_until(near_its_turn, timeout_s=left_s, longest_s=_LONGEST_LOOK_S)
    wait_until(started_or_stuck, timeout_s=_HEAD_START_S)
    wait_until(said_something, timeout_s=_FIRST_OUTPUT_S, longest_s=0.05)


def _prefect_environment(settings: Settings, store: RunStore, run: RunName) -> dict[str, str]:
    named = api.named(os.environ)
    if named is not None:
        api.check(named, os.environ, timeout_s=_CHECK_TIMEOUT_S)
        return {}
    info = server.ensure(settings.home, deadline_s=_SERVER_TIMEOUT_S, idle_s=_SERVER_IDLE_S)
    store.set_prefect_url(run, info.ui_url)
    server.touch(settings.home)
    return server.client_environment(info)


def _why_not_recorded(error: BaseException) -> str:
    """Say on one line what happened and what to do."""
    if isinstance(error, ConfigurationError):
        return f"{error.problems[0].summary}; {error.problems[0].hint}"
    if isinstance(error, EbbError):
        return error.detail or error.summary
    return traceback.format_exception_only(error)[-1].strip()[:200]


def _watch_starter(settings: Settings, run: RunName, clock: _Clock) -> None:
    """Stop the run when our standard input ends without the message that it shall go on."""
    if _said_by_starter(KEEP):
        clock.note("let_go_at")
    else:
        stop_run(settings, run, Reason.STARTER_LOST)


def _said_by_starter(word: bytes) -> bool:
    """Whether whoever started this process says this next; False: it went away without."""
    said = b""
    with contextlib.suppress(OSError):
        # Below Python's buffer: a thread that waits in it makes the interpreter's end a crash.
        while len(said) < len(word) and (part := os.read(0, len(word) - len(said))):
            said += part
    return said == word


def _is_over(store: RunStore, run: RunName) -> bool:
    found = store.run(run)
    return found is None or found.over


def _exit_code(store: RunStore, run: RunName) -> int:
    found = store.run(run)
    if found is None or found.exit_code is None:
        return ExitCode.INFRASTRUCTURE
    return found.exit_code


if __name__ == "__main__":
    sys.exit(main(RunName(sys.argv[1])))
