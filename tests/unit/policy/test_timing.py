"""Where a run's start and end went: spans from what its processes noted, and none without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ebbtide.infra.models.cluster import ClusterView, JobView, ProcessTimes
from ebbtide.infra.models.codec import to_data, to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import CommandTimes
from ebbtide.infra.models.orders import Orders, Release
from ebbtide.infra.models.records import Cluster, Event, EventKind, FlowTimes, LeaseState, Run
from ebbtide.infra.policy.explain.timing import Span, Timed, flow_times, milestones, spans_of
from tests.clusters import cluster_spec, run_spec

HERON, CLUSTER = RunName("heron"), ClusterId("heron-1")
SPEC = replace(
    run_spec(HERON, cluster_spec(), Path("p.py")),
    command=CommandTimes(started_at=100.0, imported_at=100.5),
)
RUN = Run(name=HERON, spec_json=to_json(SPEC), created=100.75, ended=110.25)
TIMES = {
    "guard": ProcessTimes(started_at=101.0),
    "supervisor": ProcessTimes(started_at=101.25, ready_at=101.5),
    "head": ProcessTimes(started_at=101.75, imported_at=102.5),
    "worker-0": ProcessTimes(started_at=101.75, ready_at=103.5),
}
VIEW = ClusterView(
    cluster=CLUSTER,
    admitted_at=101.625,
    head_ready_at=103.0,
    times=TIMES,
    job=JobView(started_at=104.0, first_output_at=105.0, ended_at=110.0, exit_code=0),
)
FLOW = FlowTimes(
    started_at=100.75,
    begun_at=101.25,
    waited_at=105.0,
    server_at=105.25,
    imported_at=106.5,
    recording_at=107.0,
    recorded_at=111.0,
    let_go_at=110.5,
)


def cluster(view: ClusterView = VIEW, released_at: float | None = 110.25, **more: Any) -> Cluster:
    fixed: dict[str, Any] = {"attempt": 1, "pool": "test", "state": LeaseState.ADMITTED}
    times = {"renewals": 0, "beat_at": 0.0, "lease_s": 20.0, "created": 100.875}
    kept = {"view_json": to_json(view), "released_at": released_at}
    return Cluster(id=CLUSTER, run=HERON, **{**fixed, **times, **kept, **more})


def told(timed: Timed, process: str) -> list[tuple[str, float, float]]:
    found = spans_of(timed)
    return [(span.what, span.start_s, span.end_s) for span in found if span.process == process]


WHOLE = Timed(RUN, cluster(), FLOW)


def test_command_is_told_from_its_process_start_to_the_prompt() -> None:
    assert told(WHOLE, "command") == [
        ("interpreter and imports", 0.0, 0.5),
        ("checks the request and writes the run down", 0.5, 0.75),
        ("declares the cluster", 0.75, 1.0),
        ("shows the end; the prompt follows", 10.25, 10.5),
    ]


def test_members_are_told_from_their_process_start_until_they_are_ready() -> None:
    assert told(WHOLE, "guard") == [("starts the supervisor", 1.0, 1.25)]
    assert told(WHOLE, "supervisor") == [
        ("interpreter and imports", 1.25, 1.5),
        ("waits for room in the pool", 1.5, 1.625),
    ]
    assert told(WHOLE, "head") == [
        ("interpreter and imports", 1.75, 2.5),
        ("until it answers", 2.5, 3.0),
    ]
    assert told(WHOLE, "worker-0") == [("until it has registered with the head", 1.75, 3.5)]


def test_program_and_release_follow() -> None:
    assert told(WHOLE, "program") == [
        ("until its first line", 4.0, 5.0),
        ("until its end", 5.0, 10.0),
    ]
    assert told(WHOLE, "release") == [("everything is given back", 10.0, 10.25)]


def test_flow_process_is_told_until_prefects_record_is_finished() -> None:
    assert told(WHOLE, "flow") == [
        ("interpreter and imports, until the cluster is declared", 0.75, 1.25),
        ("waits for the program's first output", 1.25, 5.0),
        ("finds Prefect's server, or starts it", 5.0, 5.25),
        ("imports Prefect", 5.25, 6.5),
        ("begins Prefect's record", 6.5, 7.0),
        ("finishes Prefect's record", 10.25, 11.0),
    ]


def test_spans_are_in_the_order_in_which_they_began() -> None:
    starts = [span.start_s for span in spans_of(WHOLE)]
    assert starts == sorted(starts)


def test_milestones_are_the_ends_that_people_wait_for() -> None:
    expected = {"first line": 5.0, "prompt": 10.5, "Prefect's record": 11.0}
    assert milestones(spans_of(WHOLE)) == expected


def test_run_that_goes_on_has_only_what_is_over() -> None:
    view = replace(VIEW, job=JobView(started_at=104.0))
    found = Timed(replace(RUN, ended=None), cluster(view, released_at=None), FlowTimes())
    assert {span.process for span in spans_of(found)} == {
        *("command", "guard", "supervisor", "head", "worker-0"),
    }
    assert milestones(spans_of(found)) == {}


def test_run_without_a_command_counts_from_when_it_was_written_down() -> None:
    run = replace(RUN, spec_json=to_json(replace(SPEC, command=None)))
    found = Timed(run, cluster(), FlowTimes())
    assert told(found, "command") == []
    assert told(found, "program")[0] == ("until its first line", 3.25, 4.25)


def test_run_of_which_nothing_was_noted_has_no_spans() -> None:
    run = replace(RUN, spec_json=to_json(replace(SPEC, command=None)), ended=None)
    assert spans_of(Timed(run, None, FlowTimes())) == ()


def test_pod_is_told_by_its_node_and_its_container() -> None:
    times = ProcessTimes(started_at=101.0, placed_at=103.0, running_at=104.0, ready_at=106.0)
    view = replace(VIEW, times={"worker-0": times, "program": replace(times, ready_at=None)})
    found = Timed(RUN, cluster(replace(view, job=JobView(started_at=107.0))), FlowTimes())
    before = [
        ("waits for a node", 1.0, 3.0),
        ("pulls its image and starts its container", 3.0, 4.0),
    ]
    assert told(found, "worker-0") == [
        *before,
        ("until it has registered with the head", 4.0, 6.0),
    ]
    assert told(found, "program") == [*before, ("waits for head and workers", 4.0, 7.0)]


def test_moments_of_clocks_that_differ_leave_no_span() -> None:
    view = replace(VIEW, times={"head": ProcessTimes(started_at=109.0)})
    assert told(Timed(RUN, cluster(view), FLOW), "head") == []


def test_program_that_printed_nothing_is_told_until_its_end() -> None:
    view = replace(VIEW, job=JobView(started_at=104.0, ended_at=110.0))
    assert told(Timed(RUN, cluster(view), FLOW), "program") == [("until its end", 4.0, 10.0)]


def test_release_of_a_program_that_was_stopped_begins_with_the_order() -> None:
    orders = to_json(Orders(release=Release(at=108.0)))
    view = replace(VIEW, job=JobView(started_at=104.0))
    found = Timed(RUN, cluster(view, orders_json=orders), FLOW)
    assert told(found, "release") == [("everything is given back", 8.0, 10.25)]


def test_command_that_let_its_run_go_on_shows_no_end() -> None:
    flow = replace(FLOW, let_go_at=101.5)
    spans = spans_of(Timed(RUN, cluster(), flow))
    assert Span("command", "lets go of the run (--detach)", 1.0, 1.5) in spans
    assert "prompt" not in milestones(spans)


def test_flow_process_is_heard_by_what_it_noted_last() -> None:
    def noted(times: FlowTimes) -> Event:
        return Event(run=HERON, kind=EventKind.TIMED, message="", data=to_data(times))

    other = Event(run=HERON, kind=EventKind.NOTE, message="something else")
    assert flow_times([noted(FlowTimes(begun_at=1.0)), noted(FLOW), other]) == FLOW
    assert flow_times([other]) == FlowTimes()
