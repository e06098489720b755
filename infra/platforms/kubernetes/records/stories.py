"""What happened to runs, and what their clusters held and used: the second ConfigMap of each.

It is the run's: with that, it goes. Apart from it, so that what is written often does not hold up
what must be right, and a list of runs does not carry it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Cluster, Event, Share
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.records.bounds import bounded_story, short_event
from ebbtide.infra.platforms.kubernetes.records.encoding import (
    KEPT,
    Story,
    decode_story,
    digest,
    encode_story,
    record_name,
    story_name,
)
from ebbtide.infra.platforms.kubernetes.records.records import (
    GOES_ON,
    Records,
    readable,
    run_with,
)
from ebbtide.infra.waiting import wall_s

_VERSION_DIGITS = 15


class StoryRecords(Records):
    """See ``infra.records.store.Events``. See ``infra.records.store.Usage``."""

    _decoded: tuple[Object, Story] | None = None
    """The story that was read last: it is read many times a second."""

    def append(self, event: Event) -> None:
        """Record that something happened, if the run is known. Its id is given here."""
        new = short_event(replace(event, at=event.at or wall_s()))

        def edited(story: Story) -> Story:
            number = story.last_id + 1
            events = [*story.events, replace(new, id=number)]
            return Story(events, number, story.spans, story.samples)

        self._change_story(event.run, edited)

    def events(self, run: RunName, after: int = 0) -> list[Event]:
        """Events of a run in order, those with an id above ``after``."""
        return [event for event in self._story(run).events if event.id > after]

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

        def edited(story: Story) -> Story:
            known = {(span.cluster, span.owner): span for span in story.spans}
            numbered = {sample.number: sample for sample in story.samples.get(cluster, ())}
            numbered |= {sample.number: sample for sample in samples}
            kept = [numbered[number] for number in sorted(numbered) if number % every == 0]
            every_cluster = {**story.samples, cluster: kept}
            return Story(story.events, story.last_id, [*(known | told).values()], every_cluster)

        self._change_story(run_with(cluster), edited)

    def spans(self, run: RunName) -> list[Span]:
        """Return all shares of a run's clusters, oldest first; none outlasts its cluster."""
        spans = self._story(run).spans
        record = self.record(run) if spans else None
        if record is None:
            return []
        ends = {cluster.id: cluster.released_at for cluster in record.clusters}
        found = [_ended(span, ends[span.cluster]) for span in spans if span.cluster in ends]
        return sorted(found, key=lambda span: (span.began, span.owner))

    def samples(self, run: RunName) -> list[Sample]:
        """Return the samples of a run's clusters in order; each cluster counts from 0."""
        samples = self._story(run).samples
        record = self.record(run) if samples else None
        clusters = record.clusters if record is not None else []
        return [sample for cluster in clusters for sample in samples.get(cluster.id, ())]

    def shares(self) -> list[Share]:
        """Return what living clusters hold: the spans that go on. One request for each run."""
        living = [
            (cluster, self._story(record.run.name).spans)
            for record in self.records(GOES_ON)
            for cluster in record.living
        ]
        living.sort(key=lambda pair: (pair[0].created, pair[0].id))
        return [share for cluster, spans in living for share in _shares(cluster, spans)]

    def shares_of(self, run: RunName) -> list[str]:
        """Return the owners of what a run's clusters hold."""
        record = self.record(run)
        living = record.living if record is not None else []
        spans = self._story(run).spans if living else []
        return [share.owner for cluster in living for share in _shares(cluster, spans)]

    def _story(self, run: RunName) -> Story:
        thing = self.objects.get(story_name(run))
        if thing is None:
            return Story()
        if self._decoded is not None and self._decoded[0] is thing:
            return self._decoded[1]
        with readable(thing):
            story = decode_story(thing)
        self._decoded = thing, story
        return story

    def _change_story(self, run: RunName, edit: Callable[[Story], Story]) -> None:
        def edited(thing: Object) -> Object | None:
            with readable(thing):
                story = decode_story(thing)
            return encode_story(bounded_story(edit(story), wall_s()), run, thing)

        while not self.objects.change(story_name(run), edited):
            owner = self.objects.get(record_name(run))
            if owner is None:
                return
            first = encode_story(edit(Story()), run)
            first["metadata"]["ownerReferences"] = [_owner(owner)]
            if self.objects.create(first):
                return


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
            amount=Resources(span.cpu_millis, span.memory_bytes),
        )
        for span in held
    ]
