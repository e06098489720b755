"""The head and the workers of one cluster: started, watched, replaced, asked to leave."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ebbtide.infra.files.tails import last_bytes
from ebbtide.infra.frameworks.base import (
    FrameworkStatus,
    HeadInfo,
    ProcessSpec,
    load_framework,
)
from ebbtide.infra.frameworks.heads import published
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import Failure, WorkerFigures
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.local import layout, processes
from ebbtide.infra.platforms.local.metrics import TreeMeter
from ebbtide.infra.platforms.local.supervisor.gpus import HeldGpus
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.attempts import EarlyDeaths
from ebbtide.infra.policy.explain.known import hint_for
from ebbtide.infra.policy.explain.telling import death, telling_line
from ebbtide.infra.processes.environment import instead_of_the_users
from ebbtide.infra.processes.identity import signal_quietly
from ebbtide.infra.waiting import now_s

_LOG_TAIL_BYTES = 2**14


@dataclass(slots=True)
class Worker:
    """One worker process."""

    name: str
    host: str
    """By which its head may know it."""
    process: subprocess.Popen[bytes]
    meter: TreeMeter
    started_s: float
    joined: bool = False
    leaving_since_s: float | None = None


@dataclass(slots=True)
class Exit:
    """A worker that is gone."""

    name: str
    expected: bool
    seconds: float
    """How long it took to leave; 0 when it died."""
    out_of_memory: str = ""
    how: str = ""
    """In words, with the line of its log that tells why."""


class Members:
    """Head and workers. Knows nothing of the ledger but the reporter it tells."""

    def __init__(
        self,
        plan: ClusterPlan,
        folders: layout.Layout,
        place: processes.ProcessContext,
        environment: Mapping[str, str],
        reporter: StatusReporter,
        gpus: HeldGpus,
    ):
        self.plan = plan
        self.framework = load_framework(plan.spec.framework)
        self.head_info: HeadInfo | None = None
        self.status: FrameworkStatus | None = None
        self.workers: dict[str, Worker] = {}
        self.head_meter: TreeMeter | None = None
        self._layout = folders
        self._place = place
        self._environment = environment
        self._reporter = reporter
        self._gpus = gpus
        self._head: subprocess.Popen[bytes] | None = None
        self._head_started_s = 0.0
        self._next_number = 0
        self._deaths = EarlyDeaths()
        self._killed_for_memory: dict[str, str] = {}
        self.memory_kills: list[str] = []
        """Processes ended for their memory in workers that live on; whoever reads it empties it."""

    @property
    def staying(self) -> list[Worker]:
        """Workers that have not been asked to leave."""
        return [worker for worker in self.workers.values() if worker.leaving_since_s is None]

    @property
    def joined(self) -> int:
        """Staying workers that have registered with the head."""
        return sum(worker.joined for worker in self.staying)

    @property
    def cores(self) -> float:
        """What all workers use now."""
        return sum(worker.meter.cores or 0.0 for worker in self.workers.values())

    @property
    def missing(self) -> tuple[str, ...]:
        """Staying workers that have not registered."""
        return tuple(worker.name for worker in self.staying if not worker.joined)

    def prepare(self) -> None:
        """Put the cluster's keys where its members read them, before the first is started."""
        self._layout.put_secrets(self.framework.prepare(self.plan))

    def start_head(self) -> None:
        """Start the head unless it lives."""
        if self._head is None or self._head.poll() is not None:
            if self._head is not None:
                processes.end_all_of(self._place, "head")
            self._layout.head_file.unlink(missing_ok=True)
            self._reporter.time("head", started_at=self._reporter.now(), imported_at=None)
            self._head = self._start("head", "head", self.framework.head(self.plan, layout.HEAD))
            self._head_started_s = now_s()
            self.head_meter = TreeMeter(self._head.pid)

    def next_name(self) -> str:
        """The name the next worker will have. Names are never used twice in a cluster."""
        return f"worker-{self._next_number}"

    def start_worker(self) -> None:
        """Start one more worker; it waits for the head by itself."""
        name = self.next_name()
        at = layout.worker_address(self._next_number, distinct=self.framework.distinct_hosts)
        self._reporter.time(name, started_at=self._reporter.now())
        process = self._start("worker", name, self.framework.worker(self.plan, name, at))
        self._next_number += 1
        self.workers[name] = Worker(name, at.host, process, TreeMeter(process.pid), now_s())

    def ask_to_leave(self, name: str) -> None:
        """Begin a worker's drain. Only its own process is told, never its children."""
        worker = self.workers[name]
        worker.leaving_since_s = now_s()
        worker.process.send_signal(signal.SIGTERM)

    def look(self) -> None:
        """Find the head, ask it who has registered, and fail what takes too long."""
        if self.head_info is None:
            self._look_for_head()
        status = self.ask()
        if status is not None:
            self.status = status
            for worker in self.workers.values():
                if not worker.joined and worker.name in status.workers:
                    worker.joined = True
                    self._reporter.time(worker.name, ready_at=self._reporter.now())

    def ask(self) -> FrameworkStatus | None:
        """What the head says now; None when it does not answer, or is not there yet."""
        if self.head_info is None:
            return None
        hosts = {worker.host: worker.name for worker in self.workers.values()}
        return self.framework.status(self.head_info, hosts)

    def exited_workers(self) -> list[Exit]:
        """Workers that have ended since the last call."""
        for worker in self.workers.values():
            worker.meter.sample_the_end(now_s())
        gone = [worker for worker in self.workers.values() if worker.process.poll() is not None]
        for worker in gone:
            processes.end_all_of(self._place, worker.name)  # it may have been several processes
            del self.workers[worker.name]
        return [self._exit_of(worker) for worker in gone]

    def head_failure(self) -> Failure | None:
        """Why there is no head any more, when there is none; restarts one that died early."""
        if self._head is None or self._head.poll() is None:
            return self._head_too_slow()
        said = self._said("head")
        how = f"the head {death(self._head.returncode, said)}"
        if self.head_info is not None:
            return self._failure(Step.RUN_USER_JOB, Reason.HEAD_LOST, how, said)
        self._deaths.add(how, said)
        if self._deaths.too_many:
            return self._start_failure(Step.START_HEAD, Reason.HEAD_NOT_READY, "")
        self.start_head()
        return None

    def join_failure(self, wanted: int) -> Failure | None:
        """Why the first workers are not there in time."""
        if self.joined >= wanted or self.head_info is None:
            return None
        limit_s = self.plan.timeouts.worker_join_s
        slow = [w for w in self.staying if not w.joined and now_s() - w.started_s > limit_s]
        joined = f"{self.joined} of {wanted} joined; "
        if self._deaths.too_many:
            return self._start_failure(Step.START_WORKERS, Reason.WORKERS_NOT_JOINED, joined)
        if not slow:
            return None
        said = self._said(slow[0].name)
        how = f"{slow[0].name} runs since {limit_s:.0f} s and {_said_last(said)}"
        return self._failure(Step.START_WORKERS, Reason.WORKERS_NOT_JOINED, joined + how, said)

    def reset_failures(self) -> None:
        """Begin to count early deaths anew, for a step that is tried again."""
        self._deaths.forget()
        self._head_started_s = now_s()
        for worker in self.staying:
            worker.started_s = now_s()

    def measure(self) -> None:
        """Sample every worker and end one that is over its memory limit, or drains for ever."""
        limit = self.plan.spec.tier.resources.memory_bytes
        budget_s = self.plan.spec.tier.drain_budget_s + self.plan.timeouts.drain_grace_s
        for worker in self.workers.values():
            worker.meter.sample(now_s())
            if worker.meter.memory_bytes > limit:
                self._kill_for_memory(worker, limit)
            elif worker.leaving_since_s and now_s() - worker.leaving_since_s > budget_s:
                processes.end_all_of(self._place, worker.name)

    def sample(self) -> None:
        """Measure head and workers once, whatever they use."""
        meters = [worker.meter for worker in self.workers.values()]
        for meter in meters if self.head_meter is None else [*meters, self.head_meter]:
            meter.sample(now_s())

    def figures(self) -> list[WorkerFigures]:
        """Staying workers as the scaling policy sees them."""
        return [self._figures(worker) for worker in self.staying]

    def _said(self, name: str) -> str:
        """The line of a member's log that tells why it ended, or what it did last."""
        raw = last_bytes(self._place.logs / f"{name}.log", _LOG_TAIL_BYTES)
        return telling_line(raw.decode(errors="replace"))

    def _failure(self, step: Step, reason: Reason, detail: str, said: str) -> Failure:
        """With what helps where the telling line is a known one."""
        hint = hint_for(said, self._place.run)
        return Failure(step=step, reason=reason, detail=detail, hint=hint)

    def _start_failure(self, step: Step, reason: Reason, so_far: str) -> Failure:
        deaths = self._deaths
        found = self._failure(step, reason, so_far + deaths.sentence, deaths.said[-1])
        return replace(found, in_vain=deaths.in_vain)

    def without_foreign(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment without what the user has in it for some other cluster."""
        foreign = self.framework.foreign(environ)
        return {name: value for name, value in environ.items() if name not in foreign}

    def _start(self, role: str, name: str, what: ProcessSpec) -> subprocess.Popen[bytes]:
        # What a task printed is in the log also when its worker is killed, as by every release.
        defaults = {"PYTHONUNBUFFERED": "1", **what.defaults}
        users = self.without_foreign({**defaults, **self._environment})
        ours = {**what.env, **self._gpus.variables(name)}
        environment = {**instead_of_the_users(users, what.not_for_tasks), **ours}
        # Relative paths in tasks mean what they mean in the program: see JobSpec.workdir.
        cwd = Path(self.plan.workdir) if role == "worker" else Path("/")
        return processes.start(self._place, role, name, what.argv, environment, cwd)

    def _look_for_head(self) -> None:
        self.head_info = published(self._layout.head_file, self._layout.secrets)
        if self.head_info is not None:
            self._reporter.update(
                head_ready_at=self._reporter.now(),
                head_address=self.head_info.address,
                dashboard=self.head_info.dashboard,
                driver_env=self.framework.driver_env(self.plan, layout.DRIVER, self.head_info),
            )
            self._reporter.time("head", imported_at=self.head_info.imported_at)
            message = f"dashboard  {self.head_info.dashboard}"
            self._reporter.done(Step.START_HEAD, message, open=f"ebb open {self._place.run}")

    def _head_too_slow(self) -> Failure | None:
        limit_s = self.plan.timeouts.head_start_s
        if self.head_info is not None or now_s() - self._head_started_s < limit_s:
            return None
        said = self._said("head")
        detail = f"no answer within {limit_s:.0f} s; it {_said_last(said)}"
        return self._failure(Step.START_HEAD, Reason.HEAD_NOT_READY, detail, said)

    def _exit_of(self, worker: Worker) -> Exit:
        since, said = worker.leaving_since_s, self._said(worker.name)
        how = death(worker.process.returncode, said)
        if not worker.joined and since is None:
            self._deaths.add(f"{worker.name} {how}", said)
        return Exit(
            name=worker.name,
            expected=since is not None,
            seconds=now_s() - since if since else 0.0,
            out_of_memory=self._killed_for_memory.pop(worker.name, ""),
            how=how,
        )

    def _kill_for_memory(self, worker: Worker, limit: int) -> None:
        """End the largest process, as the kernel does in a pod: often the worker, or one task."""
        peak = format_memory(worker.meter.peak_memory_bytes)
        message = f"{worker.name}: peak {peak} of {format_memory(limit)}"
        worker.meter.peak_memory_bytes = 0
        if worker.meter.largest_pid == worker.process.pid:
            self._killed_for_memory[worker.name] = message
            processes.end_all_of(self._place, worker.name)
        else:
            self.memory_kills.append(message)
            signal_quietly(worker.meter.largest_pid, signal.SIGKILL)

    def _figures(self, worker: Worker) -> WorkerFigures:
        tier = self.plan.spec.tier.resources
        known = self.status.workers.get(worker.name) if self.status else None
        cores = worker.meter.cores
        return WorkerFigures(
            name=worker.name,
            ready=worker.joined and known is not None and cores is not None,
            cpu_percent=100_000 * (cores or 0.0) / tier.cpu_millis,
            memory_percent=100 * worker.meter.memory_bytes / tier.memory_bytes,
            running=known.running if known else 0,
            queued=known.queued if known else 0,
            stored_bytes=known.stored_bytes if known else 0,
            stays_because=known.stays_because if known else "",
        )


def _said_last(said: str) -> str:
    return f"said last: {said}" if said else "has said nothing"
