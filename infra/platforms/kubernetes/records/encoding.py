"""What is in the ConfigMaps of a run, and how it is found by labels."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ebbtide.infra.models.codec import from_data, to_data
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason, Step
from ebbtide.infra.models.records import Cluster, Event, EventKind, ProcessRef, Run
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, Object
from ebbtide.infra.platforms.kubernetes.naming import DOMAIN, OWNER, RUN, label_value
from ebbtide.infra.processes.identity import this_machine
from ebbtide.infra.waiting import wall_s

FORMAT = 1
"""Of what is written here. An object with a higher one is refused, never guessed at."""

KEPT = f"{DOMAIN}/record"
"""A label: what an object records, ``run`` or ``story``."""
OPEN, KEY, KEY_FLOW, FLOW = (f"{DOMAIN}/{name}" for name in ("open", "key", "key-flow", "flow"))
"""Labels: whether a run goes on or holds anything, digests of its key and of the flow runs."""
CREATED, ENDED = f"{DOMAIN}/created", f"{DOMAIN}/ended"
"""Annotations: when the run was asked for, and when it ended; Unix time, seconds."""
ALONE_S = 3600.0
"""A run of another machine that holds nothing and of which nothing was written for so long has
nobody any more. Far longer than clocks may differ."""
_PREFIX, _STORY = "ebb-run-", ".story"
_DIGEST_LENGTH = 40
_EVENT_KINDS = {kind.value for kind in EventKind}
_REASONS, _STEPS = {reason.value for reason in Reason}, {step.value for step in Step}
_SAMPLE = ("number", "at", "wanted", "joined", "cpu_percent", "memory_percent", "worker_cpu_s")


class NewerFormatError(ValueError):
    """A newer version has written the object."""


@dataclass(slots=True)
class Record:
    """What a run is: what was asked for, and its clusters, oldest first."""

    run: Run
    clusters: list[Cluster] = field(default_factory=list)
    machine: str = field(default_factory=this_machine)
    """Where the run was asked for."""
    written_at: float = field(default_factory=wall_s)
    """Unix time, seconds."""

    @property
    def living(self) -> list[Cluster]:
        """The clusters that are not released."""
        return [cluster for cluster in self.clusters if not cluster.released]

    @property
    def open(self) -> bool:
        """Whether the run goes on, or holds anything."""
        return not self.run.over or bool(self.living)

    def place_of(self, cluster: ClusterId) -> int | None:
        """Return the place of a cluster in the list; None when the run has no such cluster."""
        return next((i for i, one in enumerate(self.clusters) if one.id == cluster), None)


def record_name(run: RunName) -> str:
    """Of the ConfigMap with what a run is."""
    return f"{_PREFIX}{run}"


def story_name(run: RunName) -> str:
    """Of the ConfigMap with its story; no run's name has a dot."""
    return f"{_PREFIX}{run}{_STORY}"


def run_of_object(name: str) -> RunName | None:
    """The run whose record or story an object is, by its name; None: it is something else."""
    if not name.startswith(_PREFIX):
        return None
    return RunName(name.removeprefix(_PREFIX).removesuffix(_STORY))


def digest(text: str) -> str:
    """A valid value of a label for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]


def run_named_in(thing: Mapping[str, Any]) -> RunName:
    """The name of the run that an object, or its metadata alone, belongs to."""
    return RunName(thing["metadata"]["labels"][RUN])


def created_in(thing: Mapping[str, Any]) -> float:
    """When the run of a record, or of its metadata alone, was asked for."""
    return float(thing["metadata"].get("annotations", {}).get(CREATED, 0))


def ended_in(thing: Mapping[str, Any]) -> float | None:
    """When the run of a record, or of its metadata alone, ended; None while it goes on."""
    text = thing["metadata"].get("annotations", {}).get(ENDED)
    return None if text is None else float(text)


def encode_record(record: Record, old: Object | None = None) -> Object:
    """Write a record as an object.

    Args:
        record: the run and its clusters.
        old: the object that it takes the place of; None: it is new.

    Returns:
        A new object, with the version of ``old``.
    """
    run = record.run
    labels = {OPEN: "yes" if record.open else "no", OWNER: label_value(run.owner)}
    if run.key is not None:
        labels[KEY] = digest(run.key)
        if "/" in run.key:
            labels[KEY_FLOW] = digest(run.key.partition("/")[0])
    if run.flow_run_id is not None:
        labels[FLOW] = digest(run.flow_run_id)
    known = to_data(replace(run, flow_process=_for_others(run.flow_process)))
    spec = known.pop("spec_json")
    data = {
        "run": _text(known),
        "spec": spec,
        "clusters": _text(to_data(record.clusters)),
        "machine": record.machine,
        "written": repr(wall_s()),
    }
    thing = _object(record_name(run.name), run.name, "run", labels, data)
    ended = {} if run.ended is None else {ENDED: repr(run.ended)}
    thing["metadata"]["annotations"] = {CREATED: repr(run.created), **ended}
    return _in_place_of(old, thing)


def decode_record(thing: Object) -> Record:
    """Read a record.

    Raises:
        ValueError: somebody else has written something else there, or a newer version has.
    """
    data = _data(thing)
    with _malformed_told():
        known = {**json.loads(data["run"]), "spec_json": data["spec"]}
        run = from_data(Run, known)
        clusters = [from_data(Cluster, each) for each in json.loads(data["clusters"])]
        found = Record(run, clusters, data["machine"], float(data["written"]))
    return replace(found, run=replace(run, flow_process=_for_us(found)))


def new_story(run: RunName) -> Object:
    """An object for what happens to a run and what its clusters use: nothing yet."""
    data = {"events": "", "last-event": "0", "spans": "", "samples": "{}"}
    return _object(story_name(run), run, "story", {}, data)


def check_story(thing: Object) -> dict[str, str]:
    """Return the parts of a story, each as a text that is read when it is needed.

    Raises:
        ValueError: somebody else has written something else there, or a newer version has.
    """
    data = _data(thing)
    missing = {"events", "last-event", "spans", "samples"} - data.keys()
    if missing:
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    return data


def event_line(event: Event) -> str:
    """An event as one line, without the end of it."""
    return _line(to_data(event))


def events_in(text: str) -> list[Event]:
    """Read lines of events.

    Raises:
        ValueError: they are none.
    """
    with _malformed_told():
        return [_event(json.loads(line)) for line in text.splitlines()]


def span_line(span: Span) -> str:
    """A span as one line, without the end of it."""
    return _line(to_data(span))


def spans_in(text: str) -> list[Span]:
    """Read lines of spans.

    Raises:
        ValueError: they are none.
    """
    with _malformed_told():
        return [from_data(Span, json.loads(line)) for line in text.splitlines()]


def samples_text(samples: Mapping[ClusterId, Sequence[Sample]]) -> str:
    """Samples as rows of numbers."""
    return _text(
        {
            cluster: [[getattr(sample, name) for name in _SAMPLE] for sample in some]
            for cluster, some in samples.items()
        }
    )


def samples_in(text: str) -> dict[ClusterId, list[Sample]]:
    """Read what ``samples_text`` wrote.

    Raises:
        ValueError: it is something else.
    """
    with _malformed_told():
        return {
            ClusterId(cluster): [Sample(**dict(zip(_SAMPLE, row, strict=True))) for row in rows]
            for cluster, rows in json.loads(text).items()
        }


def _event(known: dict[str, Any]) -> Event:
    """An event; one of a kind that this version does not know is a note."""
    if known["kind"] not in _EVENT_KINDS:
        known["kind"] = EventKind.NOTE.value
    if known["reason"] not in _REASONS:
        known["reason"] = None
    if known["step"] not in _STEPS:
        known["step"] = None
    return from_data(Event, known)


def _for_others(process: ProcessRef | None) -> ProcessRef | None:
    """Our own process with the machine that it is on."""
    if process is None or process.machine:
        return process
    return replace(process, machine=this_machine())


def _for_us(record: Record) -> ProcessRef | None:
    """Another machine's process stays one, and there may be one that has not registered yet.

    Of a run that is over it is of no use here; nor is it when nobody can be there any more.
    """
    process = record.run.flow_process or ProcessRef(0, machine=record.machine)
    if process.machine == this_machine():
        return replace(process, machine="") if process.pid else None
    alone = not record.living and wall_s() - record.written_at > ALONE_S
    return None if record.run.over or alone else process


def _object(
    name: str, run: RunName, what: str, labels: Mapping[str, str], data: Mapping[str, str]
) -> Object:
    """An object that is no cluster's: what goes with the Lease is "managed by" ebb, this is not."""
    known = {"app.kubernetes.io/part-of": "ebb", RUN: run, KEPT: what, **labels}
    return {
        "apiVersion": CONFIG_MAP.api,
        "kind": CONFIG_MAP.name,
        "metadata": {"name": name, "labels": known},
        "data": {"format": str(FORMAT), **data},
    }


def _in_place_of(old: Object | None, thing: Object) -> Object:
    if old is not None:
        mine, there = thing["metadata"], old["metadata"]
        for name in ("resourceVersion", "uid", "ownerReferences"):
            if name in there:
                mine[name] = there[name]
    return thing


def _data(thing: Object) -> dict[str, str]:
    data: dict[str, str] = thing.get("data") or {}
    if not data.get("format", "").isdigit():
        raise ValueError("it has no format")
    if int(data["format"]) > FORMAT:
        raise NewerFormatError(f"format {data['format']}; this ebb reads {FORMAT}")
    return data


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _line(value: Any) -> str:
    """On a line of its own it can be read with kubectl; no sign in it is taken for an end."""
    return json.dumps(value, separators=(",", ":"))


@contextlib.contextmanager
def _malformed_told() -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{error!r}") from error
