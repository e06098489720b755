"""What is left out of a run's records when there is too much, and what never is."""

from __future__ import annotations

import json
from dataclasses import replace

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import to_data, to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Cluster, Event, EventKind, LeaseState, Run
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.platforms.kubernetes.records import bounds
from ebbtide.infra.platforms.kubernetes.records.encoding import (
    Record,
    encode_record,
    samples_text,
)

HERON = RunName("heron")
FIRST = ClusterId("heron-1")
LIMIT_BYTES = 900 * 2**10
NOTE = Event(run=HERON, kind=EventKind.NOTE, message="x" * 1000, at=1.0)
SAMPLE = Sample(
    number=0, at=1e9, wanted=10, joined=10, cpu_percent=51.2, memory_percent=33.3, worker_cpu_s=1e5
)


def events(count: int) -> list[Event]:
    return [replace(NOTE, id=number) for number in range(1, count + 1)]


def span(owner: str, began: float, ended: float | None) -> Span:
    return Span(
        cluster=FIRST,
        owner=owner,
        tier="small",
        cpu_millis=1000,
        memory_bytes=2**30,
        price_per_hour=0.5,
        began=began,
        ended=ended,
        cpu_s=2.0,
        peak_memory_bytes=int(began),
    )


def test_few_events_stay_as_they_are() -> None:
    assert bounds.bounded_events(events(10)) == events(10)


def test_of_many_events_the_first_and_the_latest_stay_and_one_says_what_is_missing() -> None:
    kept = bounds.bounded_events(events(1000))
    gap = next(event for event in kept if event.data)
    place = kept.index(gap)
    assert kept[:place] == events(1000)[:place]
    assert kept[place + 1 :] == events(1000)[-(len(kept) - place - 1) :]
    assert gap.data["left_out"] == 1000 - (len(kept) - 1)
    assert [event.id for event in kept] == sorted(event.id for event in kept)


def test_what_was_left_out_before_is_counted_again() -> None:
    kept = bounds.bounded_events(events(1000))
    later = [replace(NOTE, id=number) for number in range(1001, 2001)]
    (gap,) = (event for event in bounds.bounded_events([*kept, *later]) if event.data)
    assert gap.data["left_out"] == 2000 - (len(bounds.bounded_events([*kept, *later])) - 1)


def test_one_event_is_bounded_too() -> None:
    event = replace(NOTE, message="x" * 10**6, data={"much": "x" * 10**6})
    assert len(json.dumps(to_data(bounds.short_event(event)))) < 10_000


def test_spans_that_are_added_up_keep_their_sums_and_the_others_stay() -> None:
    head, living = span("head", 0, 50), span("worker-9", 90, None)
    ended = [span(f"worker-{number}", number, number + 10) for number in range(5)]
    merged, *rest = bounds.merged_spans([head, *ended, living])
    assert rest == [head, living]
    assert merged.ended is not None
    assert (merged.began, merged.ended - merged.began) == (0, 50)
    assert (merged.cpu_s, merged.peak_memory_bytes, merged.is_worker) == (10.0, 4, True)


def test_spans_with_and_without_gpus_are_no_sum() -> None:
    plain, with_gpus = span("worker-0", 0, 10), replace(span("worker-1", 0, 10), gpus=2)
    assert {merged.gpus for merged in bounds.merged_spans([plain, with_gpus])} == {0, 2}


def test_spans_that_were_added_up_can_be_added_up_again() -> None:
    merged = bounds.merged_spans([span("worker-0", 0, 10), span("worker-1", 5, 10)])
    (again,) = bounds.merged_spans([*merged, span("worker-2", 20, 30)])
    assert again.ended is not None
    assert again.ended - again.began == 25


def test_few_samples_and_spans_stay_as_they_are() -> None:
    assert bounds.bounded_samples({FIRST: [SAMPLE]}) == ({FIRST: [SAMPLE]}, "")
    assert bounds.bounded_spans([span("head", 0, None)]) == ([span("head", 0, None)], "")


def test_of_many_samples_every_second_goes_until_they_fit() -> None:
    many = [replace(SAMPLE, number=number) for number in range(20_000)]
    fewer, told = bounds.bounded_samples({FIRST: many})
    assert fewer[FIRST] == many[::16]
    assert len(samples_text(fewer)) <= bounds.SAMPLE_BYTES
    assert "some of its samples are left out" in told


def test_many_spans_become_sums() -> None:
    fewer, told = bounds.bounded_spans(span(f"worker-{n}", n, n + 1) for n in range(2000))
    assert len(fewer) == 1
    assert "sums" in told


def test_many_attempts_leave_the_views_of_the_latest() -> None:
    view = ClusterView(cluster=FIRST, head_address='"' * 50_000)
    clusters = [
        Cluster(
            id=ClusterId(f"heron-{attempt}"),
            run=HERON,
            attempt=attempt,
            pool="pool",
            state=LeaseState.RELEASED,
            renewals=0,
            beat_at=0,
            lease_s=30,
            created=attempt,
            view_json=to_json(view),
            released_at=1.0,
        )
        for attempt in range(1, 31)
    ]
    record = Record(Run(name=HERON, spec_json="{}"), clusters)
    bounded = bounds.bounded_record(record)
    assert len(encode_record(bounded)["data"]["clusters"]) < LIMIT_BYTES
    assert bounded.clusters[-1] == clusters[-1]
    assert bounded.clusters[0].view is None
