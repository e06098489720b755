"""The supervisor's book: spans begin and end with shares, and nothing it does can raise."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import WorkerFigures
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.models.usage import Span
from ebbtide.infra.platforms.local.metrics import TreeMeter
from ebbtide.infra.platforms.upkeep import usage as usage_module
from ebbtide.infra.platforms.upkeep.usage import PERIOD_S, HeldShare, Load, UsageRecorder
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import TIER

HERON = RunName("heron")

MAX_SAMPLES = 20
LOAD = Load([WorkerFigures(name="worker-0", ready=True, cpu_percent=50)], wanted=1, joined=1)


class Stage:
    """A book, its ledger, and a clock that moves when told."""

    def __init__(self, home: Path):
        self.now_s = 0.0
        self.ledger = Ledger(home)
        self.ledger.reserve(Run(name=HERON, spec_json="{}"))
        self.ledger.add_cluster(ClusterId("heron-1"), HERON, attempt=1, pool="local", lease_s=5)
        self.recorder: UsageRecorder

    def span(self, owner: str) -> Span:
        self.recorder.flush()
        return {span.owner: span for span in self.ledger.spans(HERON)}[owner]

    def look_for(self, periods: int) -> None:
        for _ in range(periods):
            self.recorder.look(LOAD)
            self.recorder.flush()
            self.now_s += PERIOD_S


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    monkeypatch.setattr(usage_module, "now_s", lambda: made.now_s)
    monkeypatch.setattr(usage_module, "MAX_SAMPLES", MAX_SAMPLES)
    made.recorder = UsageRecorder(made.ledger, ClusterId("heron-1"))
    return made


def meter(pid: int, cpu_s: float, memory_bytes: int = 0) -> TreeMeter:
    return TreeMeter(pid, memory_bytes=memory_bytes, _samples=deque([(0.0, cpu_s)]))


def held(**meters: TreeMeter) -> Mapping[str, HeldShare]:
    return {owner: HeldShare(TIER, (one,)) for owner, one in meters.items()}


def test_a_share_that_is_not_held_any_more_has_ended_with_its_last_figures(stage: Stage) -> None:
    stage.recorder.keep(held(worker=meter(1, cpu_s=3.0)))
    assert stage.span("worker").ended is None
    stage.recorder.keep({})
    span = stage.span("worker")
    assert (span.ended is not None, span.cpu_s, span.tier) == (True, 3.0, "tiny")


def test_a_head_that_was_started_again_keeps_what_the_first_one_used(stage: Stage) -> None:
    stage.recorder.keep(held(head=meter(1, cpu_s=3.0)))
    stage.recorder.keep(held(head=meter(2, cpu_s=4.0)))
    stage.recorder.look(LOAD)
    assert stage.span("head").cpu_s == 7.0


def test_the_peak_is_kept(stage: Stage) -> None:
    one = meter(1, cpu_s=0.0, memory_bytes=900)
    stage.recorder.keep(held(worker=one))
    stage.recorder.look(LOAD)
    one.memory_bytes = 100
    stage.recorder.look(LOAD)
    assert stage.span("worker").peak_memory_bytes == 900


def test_a_long_run_has_a_bounded_number_of_samples_over_all_its_time(stage: Stage) -> None:
    periods = 4 * MAX_SAMPLES
    stage.look_for(periods)
    stage.recorder.look(LOAD, last=True)
    stage.recorder.flush()
    numbers = [sample.number for sample in stage.ledger.samples(HERON)]
    assert MAX_SAMPLES / 2 <= len(numbers) <= MAX_SAMPLES + 1
    assert (numbers[0], numbers[-1] >= periods) == (0, True)


def test_the_end_is_sampled_however_short_the_run(stage: Stage) -> None:
    stage.look_for(1)
    stage.now_s = 0.5
    stage.recorder.look(LOAD, last=True)
    stage.recorder.flush()
    assert len(stage.ledger.samples(HERON)) == 2


def test_what_a_full_disk_did_not_take_is_written_later(stage: Stage) -> None:
    stage.recorder.keep(held(worker=meter(1, cpu_s=3.0)))
    stage.recorder.look(LOAD)
    full = "CREATE TRIGGER full BEFORE INSERT ON samples BEGIN INSERT INTO nowhere VALUES (1); END"
    stage.ledger.write(full)
    assert not stage.recorder.flush()
    assert stage.ledger.spans(HERON) == []
    stage.ledger.write("DROP TRIGGER full")
    assert stage.recorder.flush()
    assert (stage.span("worker").cpu_s, len(stage.ledger.samples(HERON))) == (3.0, 1)


def test_a_lost_ledger_gets_all_spans_again(stage: Stage) -> None:
    stage.recorder.keep(held(worker=meter(1, cpu_s=3.0), gone=meter(2, cpu_s=1.0)))
    stage.recorder.keep(held(worker=meter(1, cpu_s=3.0)))
    before = [stage.span("worker"), stage.span("gone")]
    stage.ledger.write("DELETE FROM spans")
    stage.recorder.forget_written()
    after = [stage.span("worker"), stage.span("gone")]
    assert before == after


def test_share_that_was_held_before_began_then(stage: Stage) -> None:
    stage.recorder.keep({"worker": HeldShare(TIER, (), since=60.0)})
    assert stage.span("worker").began == 60.0


def test_book_that_another_process_began_is_gone_on_with(stage: Stage) -> None:
    stage.look_for(3)
    age_s = stage.now_s
    later = UsageRecorder(stage.ledger, ClusterId("heron-1"), age_s=age_s)
    later.look(LOAD)
    later.flush()
    assert [sample.number for sample in stage.ledger.samples(HERON)] == [0, 1, 2, 3]


def test_period_is_that_of_who_measures(stage: Stage) -> None:
    slow = UsageRecorder(stage.ledger, ClusterId("heron-1"), period_s=10 * PERIOD_S)
    stage.recorder = slow
    stage.look_for(20)
    assert [sample.number for sample in stage.ledger.samples(HERON)] == [0, 1]
