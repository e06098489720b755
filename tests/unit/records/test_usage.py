"""Spans and samples: what is kept of them, and when a span ended that nobody ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.records.ledger import Ledger

HERON = RunName("heron")
HERON_1 = ClusterId("heron-1")

SPAN = Span(
    cluster=HERON_1,
    owner="worker-0",
    tier="small",
    cpu_millis=500,
    memory_bytes=2**30,
    price_per_hour=0.5,
    began=100.0,
)
SAMPLE = Sample(
    number=0, at=0.0, wanted=1, joined=1, cpu_percent=50, memory_percent=20, worker_cpu_s=0
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path)
    ledger.reserve(Run(name=HERON, spec_json="{}"))
    ledger.add_cluster(HERON_1, HERON, attempt=1, pool="local", lease_s=5)
    return ledger


def test_a_span_written_again_is_one_with_the_new_figures(ledger: Ledger) -> None:
    ledger.write_usage(HERON_1, [SPAN], [])
    ledger.write_usage(HERON_1, [replace(SPAN, cpu_s=3.0, ended=110.0)], [])
    assert ledger.spans(HERON) == [replace(SPAN, cpu_s=3.0, ended=110.0)]


def test_a_span_that_nobody_ended_ends_with_its_cluster(ledger: Ledger) -> None:
    ledger.write_usage(HERON_1, [SPAN], [])
    assert ledger.spans(HERON)[0].ended is None
    ledger.update_cluster(HERON_1, released_at=130.0)
    assert ledger.spans(HERON)[0].ended == 130.0


def test_no_span_lasts_longer_than_its_cluster(ledger: Ledger) -> None:
    ledger.write_usage(HERON_1, [replace(SPAN, ended=150.0)], [])
    ledger.update_cluster(HERON_1, released_at=130.0)
    assert ledger.spans(HERON)[0].ended == 130.0


def test_samples_are_thinned_to_multiples(ledger: Ledger) -> None:
    samples = [replace(SAMPLE, number=number) for number in range(6)]
    ledger.write_usage(HERON_1, [], samples)
    ledger.write_usage(HERON_1, [], [replace(SAMPLE, number=n) for n in (7, 8)], every=2)
    assert [sample.number for sample in ledger.samples(HERON)] == [0, 2, 4, 8]
