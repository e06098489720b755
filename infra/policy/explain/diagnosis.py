"""Why a run waits, failed or was slow: from what was recorded to cause, evidence and fix.

Pure, and good days later without a cluster. Does not belong here: reading the ledger, printing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import STEP_LABELS, Phase, Reason, Step
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.models.resources import format_duration

_FIXES: dict[Reason, str] = {
    Reason.POOL_AT_MAX: "wait, ask for less (--tier, --workers), or stop a run that holds the room",
    Reason.RUNS_AT_MAX: "wait, stop a run that counts, or raise the limit in ebb.yaml",
    Reason.QUEUE_FULL: "wait until some have run (ebb ps), or raise runs-waiting in ebb.yaml",
    Reason.NOT_IN_TIME: "allow more time (--start-within), ask for less, or stop another run",
    Reason.LAUNCH_FAILED: "correct what the detail names (space, permissions), then run it again",
    Reason.HEAD_NOT_READY: "see ebb logs RUN --from head, and ebb doctor",
    Reason.HEAD_LOST: "see ebb logs RUN --from head; set a larger --head-tier if memory ran out",
    Reason.WORKERS_NOT_JOINED: "see ebb logs RUN --from worker-0, and ebb doctor",
    Reason.SUPERVISOR_LOST: "run it again; ebb logs RUN --from supervisor shows what it did last",
    Reason.LEASE_LAPSED: "run it again; the process that renewed the lease was stopped or killed",
    Reason.FLOW_LOST: "run it again; ebb logs RUN --from flow shows what it did last",
    Reason.STARTER_LOST: "run it again; --detach lets a run go on without whoever started it",
    Reason.LEDGER_UNWRITABLE: "do what the detail names (space, permissions), then run it again",
    Reason.DISK_FULL: "free some space where the detail says, then run it again",
    Reason.PREFECT_UNREACHABLE: "start the server that PREFECT_API_URL names, or unset it",
    Reason.API_UNREACHABLE: "ask kubectl get --raw /readyz; --context names another cluster",
    Reason.CLUSTER_DELETED: "run it again; the API server's audit log says who deleted it",
    Reason.NAMESPACE_GONE: "make the namespace again, or name another one (--namespace)",
    Reason.CLUSTER_DELETED: "run it again; whoever deleted the Lease wanted the cluster gone",
    Reason.QUOTA: "wait until other runs give back, ask for less, or have the quota raised",
    Reason.NO_NODE: "wait, ask for less (--tier, --workers), or see whether the pool may grow",
    Reason.OUT_OF_STOCK: "wait, or take a --tier of another pool (ebb tiers)",
    Reason.RECLAIMED: "run it again, or give head and program a --head-tier that is not spot",
    Reason.NODE_LOST: "run it again; kubectl get nodes shows what became of the node",
    Reason.EVICTED: "run it again; the detail says who took the pod from its node",
    Reason.POD_LOST: "run it again; the detail says what became of the pod",
    Reason.REGISTRY_SILENT: "run it again when the registry answers; the detail has its words",
    Reason.EXIT_CODE: "see ebb logs RUN for what the program printed last",
    Reason.NOT_STARTED: "check the program's name and that it may be executed",
    Reason.OUT_OF_MEMORY: "use a larger --tier, or smaller pieces of data at a time",
    Reason.TIME_LIMIT: "set a longer --time-limit, or use more workers (--workers 1..8)",
    Reason.IDLE: "end the program when its work is done, or set --idle-release never",
    Reason.CANNOT_RUN: "choose a --tier (ebb tiers) or --workers that holds it, or ask for less",
    Reason.OUTPUT_LIMIT: "print less, or set a larger --max-output",
    Reason.TOO_MANY_PROCESSES: "start fewer processes, or set a larger --max-processes",
    Reason.OUTPUTS_NOT_STORED: "take the files from ebb logs RUN --list, and mend --outputs",
    Reason.OUTPUT_INVALID: "make the program write what its caller expects, then run it again",
    Reason.READER_GONE: "nothing to do if it was meant (| head); --detach lets a run go on unread",
    Reason.CANCELLED: "nothing to do: somebody stopped it",
    Reason.RELEASE_INCOMPLETE: "ebb held --release",
}

_TROUBLE = (EventKind.WARNING, EventKind.ATTEMPT)
_STEP_ENDS = (EventKind.STEP_DONE, EventKind.STEP_FAILED)


@dataclass(frozen=True, slots=True)
class Story:
    """What was recorded of a run."""

    phase: Phase
    reason: Reason | None
    detail: str
    exit_code: int | None
    created: float
    """Unix time, seconds."""
    events: Sequence[Event]
    """In order."""
    last_lines: Sequence[str] = field(default=())
    """The last lines the program wrote to stderr."""
    view: ClusterView | None = None
    """Its cluster, while the run goes on."""
    now: float = 0.0
    """Unix time, seconds."""
    autoscaler: str = ""
    """What the platform's autoscaler says of its cluster, or said last; empty: there is none."""
    said: Mapping[str, str] = field(default_factory=dict)
    """The telling line of the log of what the run waits for, or died of, by its name."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The answer to ``ebb why``: the cause, the evidence for it, and what to do."""

    cause: str
    reason: Reason | None
    evidence: tuple[str, ...]
    fix: str


def diagnose(story: Story) -> Diagnosis:
    """Find out why a run waits, failed or took its time."""
    waiting = _last(story, EventKind.STEP_WAITING)
    if story.phase in (Phase.QUEUED, Phase.PROVISIONING) and waiting is not None:
        return _waits(waiting)
    if story.reason is not None:
        return _failed(story, story.reason)
    cause = _where_time_went(story) if story.view is None else _going_on(story, story.view)
    trouble = [event for event in story.events if event.kind in _TROUBLE]
    messages = dict.fromkeys(event.message for event in trouble)
    fix = "; ".join(dict.fromkeys(hint for e in trouble if (hint := e.data.get("hint"))))
    said = [f"{name} says: {line}" for name, line in story.said.items() if line]
    said += _autoscaler(story)
    return Diagnosis(cause, None, (*said, *messages, *_times(story)), fix)


def fix_for(reason: Reason) -> str:
    """Return what to do about a reason. A wrong request says that itself."""
    return _FIXES.get(reason, "correct the request; the message says how")


def _waits(waiting: Event) -> Diagnosis:
    """Of a run that has no room yet; without a reason nothing is wrong, as when a pool grows."""
    reason, said = waiting.reason, waiting.message
    if reason is None:
        return Diagnosis(f"it is waiting: {said}", None, (), "")
    fix = str(waiting.data.get("hint") or "") or fix_for(reason)
    return Diagnosis(f"it is waiting: {reason.info.sentence}", reason, (said,), fix)


def _failed(story: Story, reason: Reason) -> Diagnosis:
    failure = _last(story, EventKind.STEP_FAILED)
    evidence = [story.detail] if story.detail else []
    if failure is not None and failure.step is not None:
        step, detail = STEP_LABELS[failure.step], failure.data.get("detail", "")
        evidence.append(f"step {step}: {failure.message}" + (f", {detail}" if detail else ""))
    evidence += [event.message for event in story.events if event.kind in _TROUBLE]
    evidence += [f"stderr: {line}" for line in story.last_lines]
    evidence += [f"{name} said: {line}" for name, line in story.said.items() if line]
    evidence += _autoscaler(story)
    ended = _last(story, EventKind.RUN_ENDED)
    hints = [event.data.get("hint", "") for event in (failure, ended) if event is not None]
    unique = tuple(dict.fromkeys([*evidence, *_times(story)]))
    fix = next(filter(None, hints), "") or fix_for(reason)
    return Diagnosis(reason.info.sentence, reason, unique, fix)


def _autoscaler(story: Story) -> list[str]:
    """Its conditions and its last decision."""
    says = "says" if story.view is not None else "said last"
    return [f"the autoscaler {says}: {story.autoscaler}"] if story.autoscaler else []


def _going_on(story: Story, view: ClusterView) -> str:
    """Say what a run does now, or what it waits for."""

    def since(at: float) -> str:
        return format_duration(max(0.0, story.now - at))

    if story.phase is Phase.RELEASING or view.released_at is not None:
        return "it gives back what it held"
    if view.waiting is not None and view.workers_ready_at is None:
        return f"it waits: {view.waiting.message}"
    if view.head_ready_at is None:
        started = f", started {since(view.admitted_at)} ago" if view.admitted_at else ""
        return f"it waits for the head to answer{started}"
    registered = f"{view.workers_joined} of {view.workers_wanted}"
    if view.workers_ready_at is None:
        return f"it waits for workers: {registered} registered"
    running = [name for name, job in view.programs.items() if job.ended_at is None]
    if view.job.ended_at is not None:
        doing = "its program has ended"
    elif view.job.started_at is not None:
        doing = f"it runs the program since {since(view.job.started_at)}"
    elif running:
        doing = f"it runs {', '.join(running)}"
    else:
        doing = f"its cluster stands since {since(view.workers_ready_at)}"
    parts = [doing, f"{registered} workers" if view.workers_wanted else ""]
    if view.tasks_running is not None:
        parts.append(f"{view.tasks_running} tasks run, {view.tasks_waiting} wait")
    return "; ".join(filter(None, parts))


def _last(story: Story, kind: EventKind) -> Event | None:
    return next((event for event in reversed(story.events) if event.kind is kind), None)


def _durations(story: Story) -> dict[Step, float]:
    """Return how long each step took: as it was measured, else since the step before ended."""
    found: dict[Step, float] = {}
    before = story.created
    for event in story.events:
        if event.kind in _STEP_ENDS and event.step is not None:
            took_s = event.data.get("took_s", max(0.0, event.at - before))
            found[event.step] = found.get(event.step, 0.0) + took_s
            before = event.at
    return found


def _times(story: Story) -> tuple[str, ...]:
    return tuple(
        f"step {STEP_LABELS[step]} took {format_duration(seconds)}"
        for step, seconds in _durations(story).items()
    )


def _where_time_went(story: Story) -> str:
    how = "it succeeded" if story.phase.ended else f"it is {story.phase.value.lower()}"
    durations = _durations(story)
    if not durations:
        return f"{how}; nothing has happened yet"
    step, seconds = max(durations.items(), key=lambda item: item[1])
    total = sum(durations.values()) or 1.0
    return f"{how}; step {STEP_LABELS[step]} took {100 * seconds / total:.0f} % of the time"
