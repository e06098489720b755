"""What a run asked for, used, wasted, cost, and what a static cluster would have cost.

The terms, which every receipt and ``ebb cost`` share:

* asked: seconds a worker's share was held, summed over workers (the program's own share where there
  are no workers). The head is no worker: it counts in the cost only.
* used: core-seconds the worker's processes took, divided by the cores of its tier, and never more
  than it asked: a worker that bursts over its tier is not idle, but lends nothing to others either.
* unknown: what a run asked for of whose workers there was no figure at all.
* idle: asked minus used and unknown. A worker with four cores and one busy thread is three quarters
  idle; starting, waiting for data and draining are idle as far as they take no CPU.
* cost: price of the tier times the time each share was held, heads included.
* GPUs: those of each share times the time it was held, heads included. Their use is not measured.
* static: the head and the maximum of workers, held as long as the cluster was.

Does not belong here: printing, drawing, deciding what to advise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import PurePath

from ebbtide.infra.accounting.use import NOTHING_USED, Use
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import PassedOver, RunSpec
from ebbtide.infra.models.records import EventKind, Run
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.policy.cluster_use import unused_advice
from ebbtide.infra.policy.explain.advice import Figures, advise
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import wall_s

BY = ("day", "tier", "job", "tag")
"""What runs can be summed by."""

_HOUR_S = 3600.0

_STEP_ENDS = (EventKind.STEP_DONE, EventKind.STEP_FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What one run asked for, used and cost, all its clusters together."""

    run: RunName
    job: str
    phase: str
    framework: str
    tier: str
    tags: tuple[str, ...]
    created: float
    """Unix time, seconds."""
    max_workers: int
    """1 for a plain program."""
    peak_workers: int
    """The maximum number of workers that were held at the same time."""
    priced: bool
    """Whether the catalog had a price for any share."""
    measured: bool = True
    """Whether anything is known of what the workers used; else ``used_s`` says nothing."""
    gpu_type: str = ""
    """Of the tier's GPUs, where it names one."""
    total: Use
    """From the request to the end, or to now."""
    steps: tuple[tuple[str, Use], ...]
    """By step, in the order in which they were first done. Repeated steps are summed."""
    static: Use
    advice: str = ""
    passed_over: tuple[PassedOver, ...] = ()
    """Tiers that it asked for first and did not get."""

    @property
    def saved(self) -> float:
        """What a static cluster would have cost more."""
        return self.static.cost - self.total.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """Several runs added up."""

    key: str
    runs: int = 0
    priced: bool = False
    total: Use = NOTHING_USED
    static: Use = NOTHING_USED

    @property
    def saved(self) -> float:
        """What static clusters would have cost more."""
        return self.static.cost - self.total.cost

    def plus(self, receipt: Receipt) -> Sum:
        """Return the sum with one more run."""
        return Sum(
            key=self.key,
            runs=self.runs + 1,
            priced=self.priced or receipt.priced,
            total=self.total + receipt.total,
            static=self.static + receipt.static,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the store knows of one run; the input of ``settle``."""

    spec: RunSpec
    phase: str
    created: float
    ended: float
    """Unix time, seconds: when the last share was given back; now for a run that goes on."""
    spans: Sequence[Span]
    samples: Sequence[Sample] = ()
    marks: Sequence[tuple[str, float]] = ()
    """Step and Unix time of each step that was done or failed, in order."""
    unused: str = ""
    """What to do about a cluster that ran no task; empty when it ran some, or nobody knows."""


def receipt_of(store: RunStore, run: RunName) -> Receipt | None:
    """Return the receipt of a run, also while it goes on; None: unknown, or held nothing."""
    found = store.run(run)
    spans = store.spans(run)
    if found is None or not spans:
        return None
    events = store.events(run)
    marks = [(e.step, e.at) for e in events if e.kind in _STEP_ENDS and e.step]
    record = _record(found, spans, store.samples(run), marks)
    return settle(replace(record, unused=unused_advice(events)))


def receipts_since(store: RunStore, at: float) -> list[Receipt]:
    """Return receipts, without steps, of all runs asked for since then that held something."""
    found = [(run, store.spans(run.name)) for run in store.runs_since(at)]
    return [settle(_record(run, spans)) for run, spans in found if spans]


def settle(record: Record) -> Receipt:
    """Add up all that a run asked for, used and cost."""
    spec, spans, cluster = record.spec, record.spans, record.spec.cluster
    total, steps = _use(record, record.created, record.ended), _steps(record)
    measured = _is_measured(spans)
    if not measured:
        total, steps = total.as_unknown, tuple((step, use.as_unknown) for step, use in steps)
    return Receipt(
        run=spec.name,
        job=job_name(spec),
        phase=record.phase,
        framework=cluster.framework,
        tier=cluster.tier.name,
        tags=spec.tags,
        created=record.created,
        max_workers=cluster.policy.max_workers if cluster.has_workers else 1,
        peak_workers=_peak([span for span in spans if span.is_worker], record.ended),
        priced=any(span.price_per_hour for span in spans),
        measured=measured,
        gpu_type=cluster.tier.gpu_type,
        total=total,
        steps=steps,
        static=_static(record),
        advice=record.unused or advise(_figures(record)),
        passed_over=spec.passed_over,
    )


def job_name(spec: RunSpec) -> str:
    """Return the name that runs of one program are summed under: its file's or module's."""
    if spec.job is None:
        return "session"
    argv = list(spec.job.argv)
    if len(argv) > 1 and PurePath(argv[0]).name.startswith("python"):
        if argv[1] == "-m" and len(argv) > 2:
            return argv[2].rpartition(".")[2]
        argv = [word for word in argv[1:] if not word.startswith("-")] or argv
    return PurePath(argv[0]).name


# Sums of many runs ---------------------------------------------------------------------------


def sums_by(receipts: Iterable[Receipt], by: str) -> tuple[Sum, ...]:
    """One sum for each day (of this machine's calendar), tier, job or tag, in the order of its key.

    A run with several tags counts in each of them; one without is summed under ``(none)``.
    """
    found: dict[str, Sum] = {}
    for receipt in receipts:
        for key in _keys(receipt, by):
            found[key] = found.get(key, Sum(key=key)).plus(receipt)
    return tuple(found[key] for key in sorted(found))


def _keys(receipt: Receipt, by: str) -> tuple[str, ...]:
    if by == "tag":
        return tuple(dict.fromkeys(receipt.tags)) or ("(none)",)
    day = datetime.fromtimestamp(receipt.created).date().isoformat()
    return ({"day": day, "tier": receipt.tier, "job": receipt.job}[by],)


# Time -----------------------------------------------------------------------------------------


def _held_s(span: Span, start: float, end: float) -> float:
    """Return how many seconds of a span are within a time."""
    ended = end if span.ended is None else min(span.ended, end)
    return max(0.0, ended - max(span.began, start))


def _use(record: Record, start: float, end: float) -> Use:
    """Return what was used in some time of a run, from its spans."""
    workers = [span for span in record.spans if span.is_worker]
    used_s = sum(
        min(_held_s(span, start, end), 1000 * span.cpu_s / span.cpu_millis) for span in workers
    )
    return Use(
        seconds=max(0.0, end - start),
        asked_s=sum(_held_s(span, start, end) for span in workers),
        used_s=used_s,
        cost=_cost(record.spans, start, end),
        gpu_s=_gpu_s(record.spans, start, end),
    )


def _gpu_s(spans: Iterable[Span], start: float, end: float) -> float:
    return sum(span.gpus * _held_s(span, start, end) for span in spans)


def _is_measured(spans: Iterable[Span]) -> bool:
    """Whether there were figures of any worker: what lives has memory, if it does nothing else."""
    workers = [span for span in spans if span.is_worker]
    return not workers or any(span.cpu_s or span.peak_memory_bytes for span in workers)


def _steps(record: Record) -> tuple[tuple[str, Use], ...]:
    """Add up each step. Samples, which know all workers at once, say what was used in it."""
    workers = [span for span in record.spans if span.is_worker]
    curve = _curve(record, workers)
    cores = record.spec.cluster.tier.resources.cpu_millis / 1000
    found: dict[str, Use] = {}
    start = record.created
    for step, end in record.marks:
        asked_s = sum(_held_s(span, start, end) for span in workers)
        used_s = min(asked_s, max(0.0, _at(curve, end) - _at(curve, start)) / cores)
        use = Use(
            seconds=max(0.0, end - start),
            asked_s=asked_s,
            used_s=used_s,
            cost=_cost(record.spans, start, end),
            gpu_s=_gpu_s(record.spans, start, end),
        )
        found[step] = found.get(step, Use()) + use
        start = max(start, end)
    return tuple(found.items())


def _curve(record: Record, workers: Iterable[Span]) -> list[tuple[float, float]]:
    """Core-seconds that the run's workers had used at each moment, over all its clusters."""
    points = [(record.created, 0.0)]
    before_s, last = 0.0, None
    for sample in record.samples:
        if last is not None and sample.number <= last.number:
            before_s += last.worker_cpu_s
        points.append((sample.at, before_s + sample.worker_cpu_s))
        last = sample
    total_s = sum(span.cpu_s for span in workers)
    return [*points, (max(record.ended, points[-1][0]), max(total_s, points[-1][1]))]


def _at(curve: Sequence[tuple[float, float]], at: float) -> float:
    for (left, low), (right, high) in pairwise(curve):
        if left <= at <= right:
            return low + (high - low) * (at - left) / max(right - left, 1e-9)
    return curve[-1][1] if at > curve[-1][0] else 0.0


def _peak(spans: Sequence[Span], now: float) -> int:
    moments = [(span.began, 1) for span in spans]
    moments += [(now if span.ended is None else span.ended, -1) for span in spans]
    held = peak = 0
    for _, change in sorted(moments):  # at the same moment: who leaves goes first
        held += change
        peak = max(peak, held)
    return peak


# Money ----------------------------------------------------------------------------------------


def _cost(spans: Iterable[Span], start: float, end: float) -> float:
    return sum(span.price_per_hour * _held_s(span, start, end) / _HOUR_S for span in spans)


def _static(record: Record) -> Use:
    """Return the use of a cluster that has its maximum of workers all the time."""
    spec = record.spec.cluster
    workers = spec.policy.max_workers if spec.has_workers else 1
    head_price = spec.head_tier.price_per_hour if spec.has_workers else 0.0
    price = head_price + workers * spec.tier.price_per_hour
    gpus = workers * spec.tier.resources.gpus
    gpus += spec.head_tier.resources.gpus if spec.has_workers else 0
    held_s = sum(_cluster_seconds(record))
    return Use(
        seconds=held_s,
        asked_s=workers * held_s,
        cost=price * held_s / _HOUR_S,
        gpu_s=gpus * held_s,
    )


def _cluster_seconds(record: Record) -> list[float]:
    """Return for how many seconds each cluster held anything."""
    found = []
    for name in dict.fromkeys(span.cluster for span in record.spans):
        spans = [span for span in record.spans if span.cluster == name]
        ends = [record.ended if span.ended is None else span.ended for span in spans]
        found.append(max(0.0, max(ends) - min(span.began for span in spans)))
    return found


# Advice ---------------------------------------------------------------------------------------


def _figures(record: Record) -> Figures:
    spec = record.spec.cluster
    workers = [span for span in record.spans if span.is_worker]
    asked = sum(span.cpu_millis * _held_s(span, 0.0, record.ended) for span in workers) / 1000
    timed = _timed(record)
    whole_s = sum(seconds for _, seconds in timed) or 1.0
    at_min = [(s, seconds) for s, seconds in timed if s.wanted <= spec.policy.min_workers]
    min_s = sum(seconds for _, seconds in at_min)
    max_s = sum(seconds for s, seconds in timed if s.wanted >= spec.policy.max_workers)
    return Figures(
        # Of no worker, and where there were no figures, nothing is known.
        seconds=sum(_cluster_seconds(record)) if asked and _is_measured(workers) else 0.0,
        tier=spec.tier.name,
        scales=spec.has_workers,
        min_workers=spec.policy.min_workers,
        max_workers=spec.policy.max_workers,
        cpu=sum(span.cpu_s for span in workers) / asked if asked else 0.0,
        peak_memory=max((s.peak_memory_bytes / s.memory_bytes for s in workers), default=0.0),
        at_max=max_s / whole_s,
        at_min=min_s / whole_s,
        cpu_at_min=sum(s.cpu_percent / 100 * seconds for s, seconds in at_min) / (min_s or 1.0),
    )


def _timed(record: Record) -> list[tuple[Sample, float]]:
    """Return each sample that has workers, with the seconds until the next one."""
    return [
        (sample, following.at - sample.at)
        for sample, following in pairwise(record.samples)
        if sample.joined and following.number > sample.number
    ]


def _record(
    run: Run,
    spans: Sequence[Span],
    samples: Sequence[Sample] = (),
    marks: Sequence[tuple[str, float]] = (),
) -> Record:
    ends = [wall_s() if span.ended is None else span.ended for span in spans]
    return Record(
        spec=run.spec,
        phase=run.phase.value,
        created=run.created,
        ended=max(run.ended or wall_s(), *ends),
        spans=spans,
        samples=samples,
        marks=marks,
    )
