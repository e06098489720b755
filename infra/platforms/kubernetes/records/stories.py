"""What happened to runs, and what their clusters held and used: the second ConfigMap of each.

It is the run's: with that, it goes. Apart from it, so that what is written often does not hold up
what must be right, and a list of runs does not carry it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Cluster, Event, EventKind, Share
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.records.bounds import (
    EVENT_BYTES,
    bounded_events,
    bounded_samples,
    bounded_spans,
    short_event,
)
from ebbtide.infra.platforms.kubernetes.records.encoding import (
    KEPT,
    check_story,
    digest,
    event_line,
    events_in,
    new_story,
    record_name,
    samples_in,
    samples_text,
    span_line,
    spans_in,
    story_name,
)
from ebbtide.infra.platforms.kubernetes.records.records import (
    GOES_ON,
    Records,
    readable,
    run_with,
)
from ebbtide.infra.waiting import wall_s

Parts = dict[str, str]
"""Of a story, by name, each as a text."""
_VERSION_DIGITS = 15


class StoryRecords(Records):
    """See ``infra.records.store.Events``. See ``infra.records.store.Usage``."""

    def append(self, *events: Event) -> None:
        """Record what happened to a run, if it is known: one request. Ids are given here."""
        new = [short_event(replace(event, at=event.at or wall_s())) for event in events]

        def edited(story: Parts) -> Parts:
            for event in new:
                story = _with_event(story, event)
            return story

        if new:
            self._change_story(new[0].run, edited)

    def events(self, run: RunName, after: int = 0) -> list[Event]:
        """Events of a run in order, those with an id above ``after``."""
        with self._story(run) as story:
            if int(story["last-event"]) <= after:
                return []  # without reading them: it is asked many times a second
            return [event for event in events_in(story["events"]) if event.id > after]

    def version(self) -> int:
        """A digest of all objects' versions: one request, a few hundred bytes a run.

        The server's own number will not do: it also counts what others write elsewhere.
        """
        found = self.objects.listed({KEPT: "*"}, metadata_only=True)
        known = sorted(
            f"{thing['metadata']['uid']}:{thing['metadata']['resourceVersion']}" for thing in found
        )
        return int(digest("\n".join(known))[:_VERSION_DIGITS], 16)

    def write_usage(
        self, cluster: ClusterId, spans: Iterable[Span], samples: Sequence[Sample], every: int = 1
    ) -> None:
        """Write spans and samples into the story, all or nothing."""
        told = {(span.cluster, span.owner): span for span in spans}
        new = {sample.number: sample for sample in samples}

        def edited(story: Parts) -> Parts:
            known = {(span.cluster, span.owner): span for span in spans_in(story["spans"])}
            kept, merged = bounded_spans((known | told).values())
            there = samples_in(story["samples"])
            numbered = {sample.number: sample for sample in there.get(cluster, ())} | new
            mine = [numbered[number] for number in sorted(numbered) if number % every == 0]
            fewer, thinned = bounded_samples({**there, cluster: mine})
            lines = "\n".join(map(span_line, kept))
            wanted = {**story, "spans": lines, "samples": samples_text(fewer)}
            for note in filter(None, (merged, thinned)):
                wanted = _with_note(wanted, run_with(cluster), note)
            return wanted

        self._change_story(run_with(cluster), edited)

    def spans(self, run: RunName) -> list[Span]:
        """Return all shares of a run's clusters, oldest first; none outlasts its cluster."""
        with self._story(run) as story:
            spans = spans_in(story["spans"])
        record = self.record(run) if spans else None
        if record is None:
            return []
        ends = {cluster.id: cluster.released_at for cluster in record.clusters}
        found = [_ended(span, ends[span.cluster]) for span in spans if span.cluster in ends]
        return sorted(found, key=lambda span: (span.began, span.owner))

    def samples(self, run: RunName) -> list[Sample]:
        """Return the samples of a run's clusters in order; each cluster counts from 0."""
        with self._story(run) as story:
            samples = samples_in(story["samples"])
        record = self.record(run) if samples else None
        clusters = record.clusters if record is not None else []
        return [sample for cluster in clusters for sample in samples.get(cluster.id, ())]

    def shares(self) -> list[Share]:
        """Return what living clusters hold: the spans that go on. One request for each run."""
        living = [
            (cluster, self._spans(record.run.name))
            for record in self.records(GOES_ON)
            for cluster in record.living
        ]
        living.sort(key=lambda pair: (pair[0].created, pair[0].id))
        return [share for cluster, spans in living for share in _shares(cluster, spans)]

    def shares_of(self, run: RunName) -> list[str]:
        """Return the owners of what a run's clusters hold."""
        record = self.record(run)
        living = record.living if record is not None else []
        spans = self._spans(run) if living else []
        return [share.owner for cluster in living for share in _shares(cluster, spans)]

    def _spans(self, run: RunName) -> list[Span]:
        with self._story(run) as story:
            return spans_in(story["spans"])

    @contextlib.contextmanager
    def _story(self, run: RunName) -> Iterator[Parts]:
        """The parts of a story, which are read inside."""
        thing = self.objects.get(story_name(run)) or new_story(run)
        with readable(thing):
            yield check_story(thing)

    def _change_story(self, run: RunName, edit: Callable[[Parts], Parts]) -> None:
        """Change some parts of a story; what is not changed is not read."""

        def edited(thing: Object) -> Object:
            with readable(thing):
                return {**thing, "data": edit(check_story(thing))}

        while not self.objects.change(story_name(run), edited):
            owner = self.objects.get(record_name(run))
            if owner is None:
                return
            first = edited(new_story(run))
            first["metadata"]["ownerReferences"] = [_owner(owner)]
            if self.objects.create(first):
                return


def _with_event(story: Parts, event: Event) -> Parts:
    """With one more event, and some of the others left out where they are too many."""
    number = int(story["last-event"]) + 1
    line = event_line(replace(event, id=number))
    text = f"{story['events']}\n{line}" if story["events"] else line
    if len(text) > EVENT_BYTES:
        text = "\n".join(map(event_line, bounded_events(events_in(text))))
    return {**story, "events": text, "last-event": str(number)}


def _with_note(story: Parts, run: RunName, message: str) -> Parts:
    """With a note, once."""
    if message in story["events"]:
        return story
    return _with_event(story, Event(run=run, kind=EventKind.NOTE, message=message, at=wall_s()))


def _owner(record: Object) -> Object:
    metadata = record["metadata"]
    named = {"apiVersion": record["apiVersion"], "kind": record["kind"], "name": metadata["name"]}
    return {**named, "uid": metadata["uid"]}


def _ended(span: Span, released_at: float | None) -> Span:
    """A span with its real end: whoever was killed ended none of its spans."""
    ends = [end for end in (span.ended, released_at) if end is not None]
    return replace(span, ended=min(ends, default=None))


def _shares(cluster: Cluster, spans: Iterable[Span]) -> list[Share]:
    """Its head first, worker-2 before worker-10."""
    held = [span for span in spans if span.cluster == cluster.id and span.ended is None]
    held.sort(key=lambda span: (span.is_worker, len(span.owner), span.owner))
    return [
        Share(
            run=cluster.run,
            cluster=cluster.id,
            owner=span.owner,
            pool=cluster.pool,
            amount=Resources(span.cpu_millis, span.memory_bytes, span.gpus),
        )
        for span in held
    ]
