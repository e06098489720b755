"""The book of a cluster: what it holds and uses, written to the ledger every few seconds.

It is written as it goes, so that a killed process leaves at most the last seconds unwritten.
Like the status reporter it never raises: what a full disk did not take is written later.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.cluster import WorkerFigures
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import now_s, wall_s

PERIOD_S = 2.0
MAX_SAMPLES = 500
"""When a cluster has more, every second one goes and half as many are taken from then on."""


class Meter(Protocol):
    """Measures what lives on a share: a process with all below it, or a pod."""

    memory_bytes: int
    peak_memory_bytes: int

    @property
    def key(self) -> Hashable:
        """What is measured: another one's is another, also of the same member."""
        ...

    @property
    def cpu_s(self) -> float:
        """Core-seconds used so far, as of the last measurement."""
        ...


@dataclass(frozen=True, slots=True)
class HeldShare:
    """A share that is held now, and the meters of what lives on it."""

    tier: HardwareTier
    meters: tuple[Meter, ...]
    since: float | None = None
    """Unix time in seconds; None: it was not held before."""


@dataclass(frozen=True, slots=True)
class Load:
    """The workers at one moment; for a plain program its figures and no workers."""

    figures: Sequence[WorkerFigures]
    wanted: int = 0
    joined: int = 0


@dataclass(slots=True)
class _OpenSpan:
    """One share's span and all meters it ever had: a head that is started again gets a new one."""

    span: Span
    meters: dict[Hashable, Meter]
    """By their keys."""

    def look(self) -> None:
        meters = self.meters.values()
        peaks = [sum(meter.memory_bytes for meter in meters)]
        peaks += [meter.peak_memory_bytes for meter in meters]  # they look more often than we do
        peak = max(self.span.peak_memory_bytes, *peaks)
        cpu_s = sum(meter.cpu_s for meter in meters)
        self.span = replace(self.span, cpu_s=cpu_s, peak_memory_bytes=peak)


class UsageRecorder:
    """Spans and samples of one cluster."""

    def __init__(
        self,
        ledger: RunStore,
        cluster: ClusterId,
        *,
        period_s: float = PERIOD_S,
        age_s: float = 0.0,
    ):
        """Write nothing yet.

        Args:
            ledger: where it is written.
            cluster: whose book it is.
            period_s: between two samples, in seconds.
            age_s: for how long somebody else has written it; its samples keep their numbers.
        """
        self._ledger = ledger
        self._cluster = cluster
        self._open_spans: dict[str, _OpenSpan] = {}
        self._written: dict[str, Span] = {}
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._period_s = period_s
        self._opened_s = now_s() - age_s
        self._number = self._period() - 1
        self._count = 0
        self._every = 1

    @property
    def due(self) -> bool:
        """Whether a new period has begun since the last sample."""
        return self._period() > self._number

    def keep(self, held: Mapping[str, HeldShare]) -> None:
        """Begin a span for what is newly held, end those of what is not held any more."""
        for owner, holding in held.items():
            if owner not in self._open_spans:
                self._open_spans[owner] = _OpenSpan(self._begin(owner, holding), {})
            page = self._open_spans[owner]
            page.meters.update((meter.key, meter) for meter in holding.meters)
        for owner, page in self._open_spans.items():
            if owner not in held and page.span.ended is None:
                page.look()  # its meters have seen it end
                page.meters.clear()
                page.span = replace(page.span, ended=wall_s())

    def look(self, load: Load, *, last: bool = False) -> None:
        """Take the figures of the meters, and one sample when a new period has begun.

        Args:
            load: of the workers now.
            last: a sample is taken anyway, so that a plot reaches the end.
        """
        for page in self._open_spans.values():
            if page.span.ended is None:
                page.look()
        if last:  # under the next number that is not thinned away
            after = max(self._number + 1, self._period())
            self._number = self._every * math.ceil(after / self._every)
        elif self.due:
            self._number = self._period()
        else:
            return
        if self._number % self._every == 0:
            self._samples.append(self._sample(load))
            self._count += 1
        if self._count > MAX_SAMPLES:
            self._every *= 2
            self._count = (self._count + 1) // 2

    def flush(self) -> bool:
        """Write what is new; returns whether all of it is written."""
        spans = {owner: page.span for owner, page in self._open_spans.items()}
        changed = [span for owner, span in spans.items() if self._written.get(owner) != span]
        if not changed and not self._samples:
            return True
        try:
            self._ledger.write_usage(self._cluster, changed, self._samples, self._every)
        except EbbError:
            return False
        self._written = spans
        self._samples.clear()
        return True

    def forget_written(self) -> None:
        """The ledger was lost: all spans are written again. Earlier samples are lost with it."""
        self._written = {}

    def _period(self) -> int:
        return int((now_s() - self._opened_s) / self._period_s)

    def _begin(self, owner: str, holding: HeldShare) -> Span:
        tier, now = holding.tier, wall_s()
        return Span(
            cluster=self._cluster,
            owner=owner,
            tier=tier.name,
            cpu_millis=tier.resources.cpu_millis,
            memory_bytes=tier.resources.memory_bytes,
            gpus=tier.resources.gpus,
            price_per_hour=tier.price_per_hour,
            began=now if holding.since is None else min(holding.since, now),
        )

    def _sample(self, load: Load) -> Sample:
        ready = [worker for worker in load.figures if worker.ready]
        spans = [page.span for page in self._open_spans.values()]
        return Sample(
            number=self._number,
            at=wall_s(),
            wanted=load.wanted,
            joined=load.joined,
            cpu_percent=_average([worker.cpu_percent for worker in ready]),
            memory_percent=_average([worker.memory_percent for worker in ready]),
            worker_cpu_s=sum(span.cpu_s for span in spans if span.is_worker),
        )


def _average(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 2) if values else 0.0
