"""The supervisor's loop, as a program: its arguments are HOME RUN CLUSTER ATTEMPT.

The guard starts it. It renews nothing itself. It makes the cluster what the orders in the ledger
say, tells what is, and releases everything when its orders say so or the lease expires.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import EbbError
from ebbtide.infra.files.private import private_folder
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.codec import from_json, to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.orders import Orders, Release
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Cluster, LeaseState, Run, RunLimits
from ebbtide.infra.models.resources import NOTHING
from ebbtide.infra.platforms.local import processes
from ebbtide.infra.platforms.local.layout import Layout
from ebbtide.infra.platforms.local.neighbours import say_what_is_held
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.platforms.local.supervisor.admission import Admission, not_in_time
from ebbtide.infra.platforms.local.supervisor.cluster import ClusterContext, ClusterController
from ebbtide.infra.platforms.local.supervisor.limits.output import OutputWatch
from ebbtide.infra.platforms.local.supervisor.program import Driver
from ebbtide.infra.platforms.local.supervisor.release import release
from ebbtide.infra.platforms.run_folder import ARTIFACTS
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.usage import UsageRecorder
from ebbtide.infra.policy.lease import LeaseJudge
from ebbtide.infra.policy.limits import StartDeadline, has_started
from ebbtide.infra.processes.environment import USER_PYTHONPATH, user_environment
from ebbtide.infra.processes.identity import started_at, this_process
from ebbtide.infra.records import runs
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s, wall_s

_QUICK_TICK_S = 0.03
_SLOW_TICK_S = 0.2
_READ_ANYWAY_S = 1.0


class Supervisor:
    """Owns one cluster from admission to release."""

    def __init__(self, settings: Settings, run: RunName, cluster: ClusterId, attempt: int):
        self.run, self.cluster, self.attempt = run, cluster, attempt
        platform = LocalPlatform(settings)
        self.ledger = platform.ledger
        self.spec = from_json(RunSpec, (settings.run_folder(run) / "spec.json").read_text())
        logs = settings.run_folder(run)
        self.place = processes.ProcessContext(
            home=settings.home, run=run, cluster=cluster, logs=logs
        )
        self.reporter = StatusReporter(self.ledger, run, cluster)
        self.lease = LeaseJudge(self.spec.lease_s)
        self.deadline = self._start_deadline()
        self.admission = Admission(self.spec, cluster, platform, self.reporter)
        self.driver = Driver(self.spec.job, self.place) if self.spec.job else None
        layout = Layout(settings.cluster_folder(cluster))
        self.context = ClusterContext(
            spec=self.spec,
            layout=layout,
            plan=_plan(self.spec, layout, self.place),
            place=self.place,
            ledger=self.ledger,
            reporter=self.reporter,
            recorder=UsageRecorder(self.ledger, cluster),
            driver=self.driver,
            output=OutputWatch(logs, self.spec.limits.max_output_bytes),
        )
        self.controller = ClusterController(self.context)
        self.release_order: Release | None = None
        self.orders = Orders()
        self._expired: str | None = None
        self._ended_by_program = False
        self._held = NOTHING
        self._version = -1
        self._read_s = -_READ_ANYWAY_S
        self._repeated_at = 0.0

    def serve(self) -> None:
        """Until released."""
        self._register()
        with _child_watch() as child_ended:
            while self.release_order is None:
                self._tick()
                busy = self.controller.starting or not self.admission.admitted
                tick_s = _QUICK_TICK_S if busy else _SLOW_TICK_S
                select.select([child_ended], [], [], max(tick_s, self.admission.patience_s))
                _drain_pipe(child_ended)
        self.controller.last_look()
        members = self.controller.members
        self.controller.programs.ask_to_end()
        workers = len(members.workers) if members else 0
        proved = release(self.context, self.release_order, workers, expired=self._expired)
        if proved and self._ended_by_program:
            with contextlib.suppress(EbbError):  # then its flow ends it
                runs.end_with_cluster(self.ledger, self.spec, self.reporter.view)

    def _tick(self) -> None:
        with contextlib.suppress(EbbError):  # judged again at the next tick; the lease goes on
            self._read_ledger()
        if self.release_order is not None:
            return
        if self.reporter.view.failure is None:
            with contextlib.suppress(EbbError):
                if self.admission.admitted or self.admission.try_now():
                    self.controller.tick(self.orders)
                    self._say_what_is_held()
            self._judge_start()
        if self.orders.release_after_job and self.reporter.view.job.ended_at is not None:
            self.release_order, self._ended_by_program = Release(), True
        self.reporter.flush()

    def _start_deadline(self) -> StartDeadline:
        try:
            return runs.start_deadline(self.ledger, self.spec, self.cluster, self.attempt)
        except EbbError:  # not readable just now: it counts from here
            allowed_s = self.spec.limits.start_within_s
            return StartDeadline.after(allowed_s, waited_s=0.0, now_s=now_s())

    def _judge_start(self) -> None:
        """The one deadline of steps 2 to 5 and the program's start."""
        view = self.reporter.view
        started = has_started(view, with_program=self.spec.job is not None)
        if view.failure is None and not started and self.deadline.passed(now_s()):
            self.reporter.fail(not_in_time(view, self.deadline.allowed_s))

    def _say_what_is_held(self) -> None:
        held = sum((share.amount for share in self.controller.shares()), start=NOTHING)
        if held != self._held:
            self._held = held
            say_what_is_held(held)

    def _read_ledger(self) -> None:
        version = self.ledger.version()
        if version == self._version and now_s() - self._read_s < _READ_ANYWAY_S:
            return
        self._version, self._read_s = version, now_s()
        found = self.ledger.cluster(self.cluster)
        if found is None:
            self._restore()
            return
        self.orders = found.orders
        if found.released:
            self.release_order = Release(at_once=True)
        self.lease.agree(found.lease_s)
        if self.orders.release is not None:
            self.release_order = self.orders.release
        elif self.lease.expired(found.renewals, now_s()):
            kept = self.lease.duration_s > self.spec.lease_s
            why = "its flow stayed suspended for longer than it was to be kept" if kept else ""
            self._expired = why
            self.release_order = Release(reason=Reason.LEASE_LAPSED)
        self._obey_repeat()

    def _obey_repeat(self) -> None:
        repeat = self.orders.repeat
        if repeat is not None and repeat.at > self._repeated_at:
            self._repeated_at = repeat.at
            self.reporter.update(failure=None)
            self.controller.reset_failures()

    def _register(self) -> None:
        with contextlib.suppress(EbbError):
            self.ledger.register_supervisor(self.cluster, this_process())
        self.reporter.time("guard", started_at=started_at(os.getppid()))
        self.reporter.time("supervisor", started_at=started_at(os.getpid()), ready_at=wall_s())
        signal.signal(signal.SIGTERM, self._told_to_stop)

    def _told_to_stop(self, *_: object) -> None:
        self.release_order = Release(reason=Reason.CANCELLED)

    def _restore(self) -> None:
        """The ledger was lost: write down again what lives."""
        job_runs = self.driver is not None and self.driver.running
        run = Run(
            name=self.run,
            spec_json=to_json(self.spec),
            phase=Phase.RUNNING if job_runs else Phase.STARTING,
            created=wall_s(),
        )
        cluster = Cluster(
            id=self.cluster,
            run=self.run,
            attempt=self.attempt,
            pool=self.spec.cluster.pool.name,
            state=LeaseState.ADMITTED if self.admission.admitted else LeaseState.QUEUED,
            renewals=0,
            beat_at=0.0,
            lease_s=self.lease.duration_s,
            limits=RunLimits.of(self.spec.cluster),
            created=wall_s(),
            orders_json=to_json(self.orders),
            view_json=to_json(self.reporter.view),
            supervisor=this_process(),
        )
        self.ledger.restore(run, cluster, self.controller.shares())
        self.context.recorder.forget_written()


def _plan(spec: RunSpec, layout: Layout, place: processes.ProcessContext) -> ClusterPlan | None:
    """None for a plain program, which has no members."""
    if not spec.cluster.has_workers:
        return None
    artifacts = private_folder(place.home, "runs", place.run, ARTIFACTS)
    workdir = spec.job.workdir if spec.job else spec.workdir
    return ClusterPlan(
        cluster=place.cluster,
        spec=spec.cluster,
        paths=layout.member_paths(load_framework(spec.cluster.framework).package, artifacts),
        workdir=workdir,
        import_path=_import_path(spec, workdir),
        environ={**user_environment(os.environ), **spec.added_env},
    )


def _import_path(spec: RunSpec, workdir: str) -> tuple[str, ...]:
    """As the program would have it: its own folder, its working folder, the user's PYTHONPATH."""
    scripts = [word for word in (spec.job.argv[1:2] if spec.job else ()) if word.endswith(".py")]
    beside = [str((Path(workdir) / script).resolve().parent) for script in scripts]
    path = spec.added_env.get("PYTHONPATH", os.environ.get(USER_PYTHONPATH, ""))
    folders = [
        *beside,
        *spec.import_path,
        workdir,
        *(part for part in path.split(os.pathsep) if part),
    ]
    return tuple(dict.fromkeys(folders))


@contextlib.contextmanager
def _child_watch() -> Any:
    """A pipe that becomes readable when a child ends, so that the loop need not look often."""
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    previous = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
    try:
        yield read_end
    finally:
        signal.set_wakeup_fd(previous)
        os.close(read_end)
        os.close(write_end)


def _drain_pipe(read_end: int) -> None:
    with contextlib.suppress(BlockingIOError):
        os.read(read_end, 4096)


def main(home: Path, run: RunName, cluster: ClusterId, attempt: int) -> None:
    """Be the supervisor of one cluster until it is released.

    Args:
        home: of this installation.
        run: whose cluster it is.
        cluster: its id.
        attempt: of the run; 1 = the first.
    """
    os.umask(0o077)
    Supervisor(Settings(home=home), run, cluster, attempt).serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]), RunName(sys.argv[2]), ClusterId(sys.argv[3]), int(sys.argv[4]))
