"""Where a run's start and end went: spans of its processes, from what each noted of itself. Pure.

What nobody has noted is left out, not guessed: a span needs its beginning and its end, and moments
of two machines whose clocks differ may leave none. Does not belong here: measuring anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ebbtide.infra.models.cluster import ClusterView, ProcessTimes
from ebbtide.infra.models.codec import from_data
from ebbtide.infra.models.records import Cluster, Event, EventKind, FlowTimes, Run

FIRST_LINE = "until its first line"
PROMPT = "shows the end; the prompt follows"
RECORD = "finishes Prefect's record"
_IMPORTS = "interpreter and imports"
_NODE, _CONTAINER = "waits for a node", "pulls its image and starts its container"
_MEMBERS = ("guard", "supervisor", "program")
"""Processes in a cluster's times that are neither its head nor workers."""

Steps = Iterable[tuple[str, float | None]]
"""What a process did, each with the moment at which it had done it (Unix time, seconds)."""


@dataclass(frozen=True, slots=True)
class Span:
    """What one process did from one moment to another, in seconds since the command."""

    process: str
    """``command``, ``guard``, ``supervisor``, ``head``, ``worker-0``, …, ``program``, ``flow``."""
    what: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Timed:
    """What is recorded of a run."""

    run: Run
    cluster: Cluster | None
    """Its latest; None: it has none yet."""
    flow: FlowTimes


def flow_times(events: Iterable[Event]) -> FlowTimes:
    """Return what a run's flow process has noted last; nothing known when it has noted nothing."""
    noted = [event.data for event in events if event.kind is EventKind.TIMED]
    return from_data(FlowTimes, noted[-1]) if noted else FlowTimes()


def spans_of(timed: Timed) -> tuple[Span, ...]:
    """Return the spans of a run, in the order in which they began."""
    command = timed.run.spec.command
    zero = command.started_at if command is not None else timed.run.created
    found = [*_of_command(timed), *_of_flow(timed)]
    if timed.cluster is not None:
        view = timed.cluster.released_view
        found += [*_of_cluster(timed.cluster, view), *_of_program(view)]
    known = (
        Span(span.process, span.what, span.start_s - zero, span.end_s - zero) for span in found
    )
    return tuple(sorted(known, key=lambda span: (span.start_s, span.end_s)))


def milestones(spans: Iterable[Span]) -> dict[str, float]:
    """Return when what people wait for was there, by name, in seconds since the command."""
    names = {FIRST_LINE: "first line", PROMPT: "prompt", RECORD: "Prefect's record"}
    return {names[span.what]: span.end_s for span in spans if span.what in names}


def _chain(process: str, began_at: float | None, steps: Steps) -> list[Span]:
    """One span a step; of a moment that nobody knows the next one has the time too."""
    spans, at = [], began_at
    for what, done_at in steps:
        if done_at is None:
            continue
        if at is not None and done_at >= at:
            spans.append(Span(process, what, at, done_at))
        at = done_at
    return spans


def _of_command(timed: Timed) -> list[Span]:
    run, cluster, command = timed.run, timed.cluster, timed.run.spec.command
    if command is None:
        return []
    declared = None
    if cluster is not None and cluster.attempt == 1:
        guard = cluster.last_view.times.get("guard", ProcessTimes())
        declared = guard.started_at or cluster.created
    steps = (
        (_IMPORTS, command.imported_at),
        ("checks the request and writes the run down", run.created),
        ("declares the cluster", declared),
    )
    spans, let_go = _chain("command", command.started_at, steps), timed.flow.let_go_at
    if let_go is None:
        return spans
    if run.ended is not None and let_go >= run.ended:
        return spans + _chain("command", run.ended, [(PROMPT, let_go)])
    return spans + _chain("command", declared, [("lets go of the run (--detach)", let_go)])


def _of_cluster(cluster: Cluster, view: ClusterView) -> list[Span]:
    times = view.times
    supervisor = times.get("supervisor", ProcessTimes())
    guard = times.get("guard", ProcessTimes())
    spans = _chain("guard", guard.started_at, [("starts the supervisor", supervisor.started_at)])
    took_up = (_IMPORTS, supervisor.ready_at), ("waits for room in the pool", view.admitted_at)
    spans += _chain("supervisor", supervisor.started_at, took_up)
    for name, member in times.items():
        if name in _MEMBERS:
            continue
        is_head = name == "head"
        ready = view.head_ready_at if is_head else member.ready_at
        answers = "until it answers" if is_head else "until it has registered with the head"
        until = (_IMPORTS, member.imported_at), (answers, ready)
        spans += _chain(name, member.started_at, (*_pod(member), *until))
    release = cluster.orders.release
    ordered_at = release.at if release is not None else None
    began_at = view.job.ended_at or ordered_at  # a flow orders it, too, of one that is released
    return spans + _chain("release", began_at, [("everything is given back", view.released_at)])


def _of_program(view: ClusterView) -> list[Span]:
    job, pod = view.job, view.times.get("program", ProcessTimes())
    before = (*_pod(pod), ("waits for head and workers", job.started_at))
    spans = _chain("program", pod.started_at, before)
    own = (FIRST_LINE, job.first_output_at), ("until its end", job.ended_at)
    return spans + _chain("program", job.started_at, own)


def _of_flow(timed: Timed) -> list[Span]:
    flow, ended = timed.flow, timed.run.ended
    steps = (
        (f"{_IMPORTS}, until the cluster is declared", flow.begun_at),
        ("waits for the program's first output", flow.waited_at),
        ("finds Prefect's server, or starts it", flow.server_at),
        ("imports Prefect", flow.imported_at),
        ("begins Prefect's record", flow.recording_at),
    )
    spans = _chain("flow", flow.started_at, steps)
    last = max(filter(None, (flow.recording_at, ended)), default=None)
    return spans + _chain("flow", last, [(RECORD, flow.recorded_at)])


def _pod(times: ProcessTimes) -> Steps:
    return (_NODE, times.placed_at), (_CONTAINER, times.running_at)
