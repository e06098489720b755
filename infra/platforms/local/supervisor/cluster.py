"""Steps 3 to 6 of an admitted cluster: head, workers, autoscaler, job; one tick at a time."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import Failure, WorkerFigures
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.models.orders import Orders
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import EventKind, Share
from ebbtide.infra.models.resources import format_duration, format_memory
from ebbtide.infra.platforms.local.layout import Layout
from ebbtide.infra.platforms.local.metrics import TreeMeter
from ebbtide.infra.platforms.local.processes import ProcessContext
from ebbtide.infra.platforms.local.supervisor.driver.hook import hook_variables, notes_file
from ebbtide.infra.platforms.local.supervisor.driver.notes import read_notes
from ebbtide.infra.platforms.local.supervisor.driver.stdin import ProgramStdin
from ebbtide.infra.platforms.local.supervisor.gpus import HeldGpus
from ebbtide.infra.platforms.local.supervisor.limits.bounds import Bounds
from ebbtide.infra.platforms.local.supervisor.limits.output import OutputWatch
from ebbtide.infra.platforms.local.supervisor.members import Exit, Members
from ebbtide.infra.platforms.local.supervisor.program import Driver
from ebbtide.infra.platforms.local.supervisor.programs import Programs
from ebbtide.infra.platforms.local.supervisor.scaling.scaler import Scaler
from ebbtide.infra.platforms.upkeep.demand import DemandWatch
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.platforms.upkeep.usage import HeldShare, Load, UsageRecorder
from ebbtide.infra.platforms.upkeep.use import ClusterUse
from ebbtide.infra.platforms.upkeep.work import WorkWatch
from ebbtide.infra.policy.demand import Wanted
from ebbtide.infra.policy.explain.diagnosis import fix_for
from ebbtide.infra.policy.explain.known import hint_for
from ebbtide.infra.policy.scaling import targets_text
from ebbtide.infra.processes.environment import member_environment, program_environment
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import now_s

_MEASURE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterContext:
    """What the controller of a cluster works with."""

    spec: RunSpec
    layout: Layout
    plan: ClusterPlan | None
    """None for a plain program: nothing but the program runs."""
    place: ProcessContext
    ledger: Ledger
    reporter: StatusReporter
    recorder: UsageRecorder
    driver: Driver | None
    output: OutputWatch


class ClusterController:
    """Everything that runs in one cluster."""

    def __init__(self, context: ClusterContext):
        self.context = context
        self.spec, self.reporter, self.driver = context.spec, context.reporter, context.driver
        self._gpus = HeldGpus(context.spec.cluster.pool, context.ledger, context.place.cluster)
        self.members: Members | None = None
        self.scaler: Scaler | None = None
        self.demand: DemandWatch | None = None
        self.programs = Programs(context.place, context.reporter, self._environment)
        self.bounds = Bounds(self.spec.limits, context.output)
        self._work = WorkWatch(self.spec, self.reporter)
        self._out_of_memory = ""
        self._killed_by_framework = 0
        self._measured_s = 0.0
        self._opened_s = 0.0
        self._use: ClusterUse | None = None
        self._stdin = ProgramStdin(context.place, context.reporter)
        if context.plan is not None:
            self._create_members(context.plan)

    @property
    def starting(self) -> bool:
        """Whether something is still on its way, so that looking often pays."""
        return self.reporter.view.workers_ready_at is None or (
            self.driver is not None and not self.driver.running and not self._job_over
        )

    def tick(self, orders: Orders) -> None:
        """Look at everything once and do what is due."""
        try:
            self._advance(orders)
        finally:
            self._record_usage()

    def last_look(self) -> None:
        """Take the figures of all that lives, before it is ended."""
        if not self._opened_s:
            return
        if self.members is not None:
            self.members.sample()
        if self.driver is not None and self.driver.running and self.driver.meter is not None:
            self.driver.meter.sample(now_s())
        self.context.recorder.look(self._load(), last=True)

    def _advance(self, orders: Orders) -> None:
        if not self._opened_s:
            self._open()
        if self._stay_in_bounds():
            return
        self._collect_exited()
        failure = self._failure()
        if failure is not None:
            self._give_up(failure)
            return
        if self.members is not None:
            self._look(self.members)
        if self.reporter.view.workers_ready_at is None:
            return
        if orders.autoscale:
            self._attach()
        if orders.job and self.driver is not None:
            self._run(self.driver)
        self.programs.tick(orders, self._out_of_memory)
        self._measure()
        if self.scaler is not None and self.reporter.view.autoscaler_at and not self._job_over:
            self.scaler.tick(self.demand.wanted if self.demand else Wanted())

    def reset_failures(self) -> None:
        """A failed step is tried again."""
        if self.members is not None:
            self.members.reset_failures()
            self.members.start_head()

    def shares(self) -> list[Share]:
        """What it has of its pool."""
        cluster, pool = self.context.place.cluster, self.spec.cluster.pool.name
        return [
            Share(
                run=self.spec.name,
                cluster=cluster,
                owner=owner,
                pool=pool,
                amount=tier.resources,
                devices=self._gpus.of(owner),
            )
            for owner, tier in self._owners().items()
        ]

    def _owners(self) -> dict[str, HardwareTier]:
        """Who holds a share, and of which tier."""
        spec = self.spec.cluster
        if self.members is None:
            return {"driver": spec.tier}
        return {"head": spec.head_tier, **dict.fromkeys(self.members.workers, spec.tier)}

    @property
    def _job_over(self) -> bool:
        return self.driver is not None and self.driver.view.ended_at is not None

    def _create_members(self, plan: ClusterPlan) -> None:
        context, cluster = self.context, self.spec.cluster
        environment = member_environment(os.environ, self.spec.added_env)
        self.members = Members(
            plan, context.layout, context.place, environment, context.reporter, self._gpus
        )
        self.scaler = Scaler(
            cluster.policy, self.members, cluster.pool, context.ledger, context.reporter
        )
        if context.driver is not None:
            self._use = ClusterUse(self.spec, context.reporter)
        self.demand = DemandWatch(cluster, self.members.framework, context.reporter)

    def _open(self) -> None:
        self._opened_s = now_s()
        if self.members is None:
            self.reporter.update(
                head_ready_at=self.reporter.now(), workers_ready_at=self.reporter.now()
            )
            self.reporter.done(Step.START_HEAD, "none needed")
            self.reporter.done(Step.START_WORKERS, "none needed")
            return
        self.members.prepare()
        self.members.start_head()
        for _ in range(self.spec.cluster.policy.min_workers):
            self.members.start_worker()
        self.reporter.update(workers_wanted=self.spec.cluster.policy.min_workers)

    def _look(self, members: Members) -> None:
        if self.reporter.view.workers_ready_at is None or self._due():
            members.look()
        wanted = self.spec.cluster.policy.min_workers
        joined, missing = members.joined, members.missing
        self.reporter.update(
            workers_joined=joined, workers_missing=missing, workers_coming=len(missing)
        )
        if self.reporter.view.workers_ready_at is None and joined >= wanted:
            self.reporter.update(workers_ready_at=self.reporter.now())
            self.reporter.done(Step.START_WORKERS, f"{joined} of {wanted} joined")

    def _attach(self) -> None:
        if self.reporter.view.autoscaler_at is not None:
            return
        self.reporter.update(autoscaler_at=self.reporter.now())
        policy = self.spec.cluster.policy
        message = f"{targets_text(policy)} · {policy.min_workers}–{policy.max_workers} workers"
        self.reporter.done(Step.ATTACH_AUTOSCALER, message if self.members else "none needed")

    def _run(self, driver: Driver) -> None:
        if not driver.running and not self._job_over:
            with self._stdin.opened() as stdin:
                driver.start(self._environment(driver.job, self.context.place), stdin)
            self.reporter.update(job=driver.view)
            if driver.view.ended_at is None:
                self.reporter.event(
                    EventKind.JOB_STARTED, "the program runs", step=Step.RUN_USER_JOB
                )
            else:
                self.reporter.job_ended(driver.view)
        elif driver.poll(self._out_of_memory):
            if self._use is not None and self.members is not None:
                well = driver.view.exit_code == 0 and driver.view.reason is None
                notes = read_notes(notes_file(driver.place))
                self._use.at_the_end(self.members.ask, notes, well=well)
            self.reporter.job_ended(driver.view, self._stdin.hint(driver.view))
        elif driver.running:
            self.reporter.update(job=driver.view)

    def _collect_exited(self) -> None:
        if self.members is None or self.scaler is None:
            return
        for gone in self.members.exited_workers():
            self.context.ledger.give_back(self.context.place.cluster, gone.name)
            self._say_gone(gone)
            if not gone.expected and not self._job_over:
                self.scaler.replace_lost()

    def _say_gone(self, gone: Exit) -> None:
        if gone.expected:
            message = f"{gone.name} left after {format_duration(gone.seconds)}"
            self.reporter.event(EventKind.LEFT, message)
        elif gone.out_of_memory:
            self._say_out_of_memory("worker", gone.out_of_memory)
        else:
            message = f"{gone.name} died and is replaced: it {gone.how}"
            hint = hint_for(gone.how, self.spec.name)
            self.reporter.event(EventKind.WARNING, message, hint=hint)

    def _say_out_of_memory(self, who: str, where: str) -> None:
        self._out_of_memory = where
        self._warn_of_memory(f"{who} was killed: out of memory ({where})")

    def _say_killed_by_framework(self, members: Members) -> None:
        """The program may never know: what such a process ran is tried again."""
        known = members.status.killed_for_memory if members.status else 0
        if known > self._killed_by_framework:
            count, self._killed_by_framework = known - self._killed_by_framework, known
            who = f"{count} process{'es' if count > 1 else ''} of workers"
            why = "out of memory; what ran there is tried again"
            self._warn_of_memory(f"{members.framework.name} killed {who}: {why}")

    def _warn_of_memory(self, message: str) -> None:
        reason = Reason.OUT_OF_MEMORY
        self.reporter.event(EventKind.WARNING, message, reason=reason, hint=fix_for(reason))

    def _failure(self) -> Failure | None:
        members = self.members
        if members is None or self._job_over:
            return None
        failure = members.head_failure()
        if failure is None and self.reporter.view.workers_ready_at is None:
            failure = members.join_failure(self.spec.cluster.policy.min_workers)
        return failure

    def _give_up(self, failure: Failure) -> None:
        if self.driver is not None:
            self.driver.end(failure.reason, failure.reason.info.sentence)
            self.reporter.update(job=self.driver.view)
        self.reporter.fail(failure)

    def _stay_in_bounds(self) -> bool:
        """Whether the run had to be ended for taking too much of the machine."""
        message = self.bounds.output.look()
        if message:
            self.reporter.event(EventKind.NOTE, message)
        exceeded = self.bounds.exceeded()
        if exceeded is None or self._job_over:
            return False
        reason, detail = exceeded
        if reason is Reason.TOO_MANY_PROCESSES:
            self.bounds.processes.end()
        self.programs.end(reason, detail)
        if self.driver is None or not self.driver.running:
            hint = fix_for(reason)
            self.reporter.fail(
                Failure(step=Step.RUN_USER_JOB, reason=reason, detail=detail, hint=hint)
            )
        else:
            self.driver.end(reason, detail, at_once=reason is Reason.TOO_MANY_PROCESSES)
            self.driver.poll("")
            self.reporter.job_ended(self.driver.view)
        return True

    def _due(self) -> bool:
        return now_s() - self._measured_s >= _MEASURE_EVERY_S

    def _measure(self) -> None:
        if not self._due():
            return
        self._measured_s = now_s()
        if self.members is not None:
            self.members.measure()
            while self.members.memory_kills:
                self._say_out_of_memory("a process", self.members.memory_kills.pop(0))
            self._say_killed_by_framework(self.members)
            self._look_at_work(self.members)
        driver = self.driver
        if driver is not None and driver.running and driver.meter is not None:
            driver.meter.sample(now_s())
            if self._use is not None and self.members is not None:
                notes = read_notes(notes_file(driver.place))
                self._use.while_running(now_s() - driver.started_s, self.members.status, notes)
            self._check_driver_memory(driver)
            self._work.judge_time(driver, self.members.status if self.members else None)

    def _look_at_work(self, members: Members) -> None:
        """What waits, and whether what runs gets anywhere; nothing while the head is silent."""
        if members.status is None or self._job_over or self.demand is None:
            return
        staying = len(members.staying)
        self.demand.look(members.status, staying, all_joined=members.joined == staying)
        program = (self.driver.cores or 0.0) if self.driver is not None else 0.0
        self._work.judge_progress(members.status, len(members.workers), members.cores + program)

    def _check_driver_memory(self, driver: Driver) -> None:
        """A program on a tier of its own must stay in it; beside a head it has the head's share."""
        limit = self.spec.cluster.tier.resources.memory_bytes
        assert driver.meter is not None
        if self.members is None and driver.meter.memory_bytes > limit:
            peak = format_memory(driver.meter.peak_memory_bytes)
            driver.end(
                Reason.OUT_OF_MEMORY,
                f"the program: peak {peak} of {format_memory(limit)}",
                at_once=True,
            )

    def _record_usage(self) -> None:
        """Spans at every tick, because they begin and end at any; figures and the disk seldom."""
        recorder = self.context.recorder
        recorder.keep(
            {owner: HeldShare(tier, self._meters(owner)) for owner, tier in self._owners().items()}
        )
        if recorder.due:
            if self.members is not None and self.members.status is not None:
                status = self.members.status
                self.reporter.update(tasks_running=status.running, tasks_waiting=status.queued)
            if self.members is not None and self.members.head_meter is not None:
                self.members.head_meter.sample(now_s())
            recorder.look(self._load())
            recorder.flush()

    def _load(self) -> Load:
        if self.members is not None:
            wanted = self.reporter.view.workers_wanted
            return Load(self.members.figures(), wanted, self.members.joined)
        return Load([self._program_figures(self.driver)] if self.driver else [])

    def _meters(self, owner: str) -> tuple[TreeMeter, ...]:
        """The program lives in the head's share, where there is a head."""
        program = self.driver.meter if self.driver else None
        if self.members is None:
            found = [program]
        elif owner == "head":
            found = [self.members.head_meter, program]
        else:
            found = [self.members.workers[owner].meter]
        return tuple(meter for meter in found if meter is not None)

    def _program_figures(self, driver: Driver) -> WorkerFigures:
        tier, meter = self.spec.cluster.tier.resources, driver.meter
        running = driver.running and meter is not None
        return WorkerFigures(
            name="driver",
            ready=running,
            cpu_percent=100_000 * (meter.cores or 0.0) / tier.cpu_millis if meter else 0.0,
            memory_percent=100 * meter.memory_bytes / tier.memory_bytes if meter else 0.0,
        )

    def _environment(self, job: JobSpec, place: ProcessContext) -> dict[str, str]:
        environment = program_environment(os.environ, job.env)
        if self.members is not None:
            environment = self.members.without_foreign(environment)
        environment.update(self.reporter.view.driver_env)
        environment.update(self._gpus.variables("head" if self.members else "driver"))
        environment["EBB_OUTPUT_DIR"] = str(place.logs / "output")
        environment.update(hook_variables(self.spec, place, environment))
        return environment
