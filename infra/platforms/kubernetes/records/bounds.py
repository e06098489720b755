"""How large a run's records may become: a ConfigMap takes 1 MiB, and whoever asks reads it all.

What is left out is told by an event. Pure. Does not belong here: how records are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, takewhile
from typing import Any

from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.records import Cluster, Event, EventKind
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.platforms.kubernetes.records.encoding import (
    Record,
    event_line,
    span_line,
)

Samples = Mapping[ClusterId, Sequence[Sample]]

EVENT_BYTES, SPAN_BYTES, SAMPLE_BYTES = 350 * 2**10, 200 * 2**10, 300 * 2**10
"""Of one story, 850 KiB together."""
RECORD_BYTES = 850 * 2**10
MESSAGE_CHARS, EVENT_DATA_BYTES = 8_000, 32 * 2**10
"""Of one event."""
_FIRST_EVENTS = 100
"""They tell how the run began, and stay."""
_SPARE = 0.8
"""What is cut is cut to this part of its bound, so that not every write cuts."""
_SAMPLE_BYTES = 100
_GAP = "left_out"
MERGED = "earlier workers"
"""The owner of the spans of many workers of one tier that have ended."""


def short_event(event: Event) -> Event:
    """An event without what is too much for one."""
    if len(event.message) > MESSAGE_CHARS:
        event = replace(event, message=event.message[:MESSAGE_CHARS] + " …")
    size = _bytes(event.data)
    return event if size <= EVENT_DATA_BYTES else replace(event, data={_GAP: f"{size} bytes"})


def bounded_spans(spans: Iterable[Span]) -> tuple[list[Span], str]:
    """The spans, added up where they are too many, and a sentence that says so; else empty."""
    spans = list(spans)
    if sum(len(span_line(span)) for span in spans) <= SPAN_BYTES:
        return spans, ""
    return merged_spans(spans), "the record of this run is full: spans of ended workers are sums"


def bounded_samples(samples: Samples) -> tuple[Samples, str]:
    """The samples, fewer where they are too many, and a sentence that says so; else empty."""
    if _sample_bytes(samples) <= SAMPLE_BYTES:
        return samples, ""
    while _sample_bytes(samples) > SAMPLE_BYTES * _SPARE:
        samples = {cluster: some[::2] for cluster, some in samples.items()}
    return samples, "the record of this run is full: some of its samples are left out"


def bounded_events(events: Sequence[Event]) -> list[Event]:
    """The first events and the latest; between them one that says how many are missing."""
    sizes = [len(event_line(event)) + 1 for event in events]
    if sum(sizes) <= EVENT_BYTES:
        return list(events)
    first = list(takewhile(lambda event: not _is_gap(event), events[:_FIRST_EVENTS]))
    while first and sum(sizes[: len(first)]) > EVENT_BYTES / 4:
        first.pop()
    room = EVENT_BYTES * _SPARE - sum(sizes[: len(first)])
    start = len(events)
    while start > len(first) + 1 and room - sizes[start - 1] > 0:
        start -= 1
        room -= sizes[start]
    left = events[len(first) : start]
    gap = left[-1]
    count = sum(int(event.data.get(_GAP, 1)) if _is_gap(event) else 1 for event in left)
    note = Event(
        id=gap.id,
        run=gap.run,
        at=gap.at,
        kind=EventKind.NOTE,
        message=f"{count} events were left out here: the record of a run is bounded",
        data={_GAP: count},
    )
    return [*first, note, *events[start:]]


def bounded_record(record: Record) -> Record:
    """The same record, without the views of its oldest clusters where it is too much."""
    clusters = list(record.clusters)
    size = len(record.run.spec_json) + sum(map(_cluster_bytes, clusters))
    for place, cluster in enumerate(clusters[:-1]):
        if size <= RECORD_BYTES:
            break
        if cluster.released:
            size -= _cluster_bytes(cluster)
            clusters[place] = replace(cluster, view_json="{}", orders_json="{}")
            size += _cluster_bytes(clusters[place])
    return replace(record, clusters=clusters)


def merged_spans(spans: Iterable[Span]) -> list[Span]:
    """Spans that have ended and cost the same as one each, with the same sums.

    A head's stays, and what has not ended.
    """

    def alike(span: Span) -> tuple[Any, ...]:
        place = (span.cluster, span.tier, span.cpu_millis, span.memory_bytes, span.gpus)
        return (*place, span.price_per_hour)

    stays = [span for span in spans if span.ended is None or not span.is_worker]
    goes = sorted((span for span in spans if span not in stays), key=alike)
    merged = []
    for number, (_, group) in enumerate(groupby(goes, key=alike), start=1):
        some = list(group)
        began = min(span.began for span in some)
        held_s = sum((span.ended or span.began) - span.began for span in some)
        merged.append(
            replace(
                some[0],
                owner=f"{MERGED} {number}",
                began=began,
                ended=began + held_s,
                cpu_s=sum(span.cpu_s for span in some),
                peak_memory_bytes=max(span.peak_memory_bytes for span in some),
            )
        )
    return merged + stays


def _sample_bytes(samples: Samples) -> int:
    return sum(len(some) for some in samples.values()) * _SAMPLE_BYTES


def _is_gap(event: Event) -> bool:
    return event.kind is EventKind.NOTE and isinstance(event.data.get(_GAP), int)


def _cluster_bytes(cluster: Cluster) -> int:
    """With quotes and backslashes, which JSON in JSON doubles."""
    return _bytes(to_data(cluster))


def _bytes(value: Any) -> int:
    return len(json.dumps(value, separators=(",", ":")))
