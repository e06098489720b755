"""Receipts of runs that are empty, short, go on, have several clusters, or had their clock set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.accounting import receipts
from ebbtide.infra.accounting.receipts import Receipt, Record, Sum
from ebbtide.infra.accounting.use import Use
from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Step
from ebbtide.infra.models.records import Event, EventKind, Run
from ebbtide.infra.models.usage import Sample, Span
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import TIER, cluster_spec, run_spec

CREATED = 1000.0
RUN, CLUSTER = RunName("heron"), ClusterId("heron-1")
WORKER_TIER = replace(TIER, resources=replace(TIER.resources, cpu_millis=2000))
POLICY = AutoscalePolicy(min_workers=2, max_workers=4)
SPEC = run_spec("heron", cluster_spec(tier=WORKER_TIER, policy=POLICY))


def span(owner: str, began: float, ended: float | None, **more: Any) -> Span:
    fixed: dict[str, Any] = {
        "cluster": "heron-1", "tier": "tiny", "cpu_millis": 2000, "memory_bytes": 1000,
        "price_per_hour": 0.0,
    }  # fmt: skip
    end = None if ended is None else CREATED + ended
    return Span(owner=owner, began=CREATED + began, ended=end, **{**fixed, **more})


def sample(number: int, at: float, worker_cpu_s: float = 0.0, **more: Any) -> Sample:
    fixed: dict[str, Any] = {"wanted": 2, "joined": 2, "cpu_percent": 50, "memory_percent": 10}
    return Sample(number=number, at=CREATED + at, worker_cpu_s=worker_cpu_s, **{**fixed, **more})


def receipt(*spans: Span, ended: float = 100.0, **more: Any) -> Receipt:
    known: dict[str, Any] = {"spec": SPEC, "phase": "Succeeded", "created": CREATED}
    return receipts.settle(Record(**known, ended=CREATED + ended, spans=spans, **more))


def marks(*ends: tuple[str, float]) -> list[tuple[str, float]]:
    return [(step, CREATED + end) for step, end in ends]


def used_in(made: Receipt) -> list[float]:
    return [round(use.used_s, 6) for _, use in made.steps]


# Time -----------------------------------------------------------------------------------------


def test_worker_that_was_busy_all_the_time_was_never_idle() -> None:
    total = receipt(span("worker-0", 0, 100, cpu_s=200.0)).total
    assert (total.asked_s, total.used_s, total.idle_s) == (100, 100, 0)


def test_run_takes_from_the_request_to_the_end() -> None:
    assert receipt(span("worker-0", 20, 100)).total.seconds == 100


@pytest.mark.parametrize("ended", [0.0, -50.0], ids=["ended at once", "clock set back"])
def test_run_without_a_duration_asked_and_took_nothing(ended: float) -> None:
    made = receipt(span("worker-0", 0, 0), ended=ended)
    assert (made.total, made.static.seconds) == (Use(), 0)


def test_share_that_is_held_still_counts_until_now() -> None:
    assert receipt(span("worker-0", 40, None), ended=100).total.asked_s == 60


def test_step_that_took_no_time_has_none() -> None:
    made = receipt(span("worker-0", 0, 100), marks=marks(("start_head", 0), ("start_workers", 0)))
    assert made.steps == (("start_head", Use()), ("start_workers", Use()))


def test_step_that_ended_before_the_one_before_it_took_and_used_nothing() -> None:
    made = receipt(
        span("worker-0", 0, 100, cpu_s=40.0),
        marks=marks(("start_head", 50), ("start_workers", 10), ("run_user_job", -5)),
    )
    assert made.steps[1:] == (("start_workers", Use()), ("run_user_job", Use()))


# Use of steps ---------------------------------------------------------------------------------


def test_use_grows_evenly_between_the_last_sample_and_the_end() -> None:
    made = receipt(
        span("worker-0", 0, 100, cpu_s=60.0),
        samples=[sample(0, 0), sample(1, 10, 5.0), sample(2, 20, 20.0)],
        marks=marks(("start_workers", 20), ("run_user_job", 60), ("tear_down", 100)),
    )
    assert used_in(made) == [10, 10, 10]


def test_use_is_known_to_a_fraction_of_a_second() -> None:
    made = receipt(
        span("worker-0", 0, 100, cpu_s=1.0),
        samples=[sample(0, 10), sample(1, 10.5, 1.0)],
        marks=marks(("start_workers", 10.25)),
    )
    assert used_in(made) == [0.25]


def test_step_that_ends_after_the_last_share_was_given_back_has_the_rest() -> None:
    made = receipt(
        span("worker-0", 0, 100, cpu_s=40.0),
        marks=marks(("run_user_job", 50), ("tear_down", 120)),
    )
    assert used_in(made) == [10, 10]


def test_step_that_ended_before_the_request_used_nothing() -> None:
    made = receipt(span("worker-0", 0, 100, cpu_s=40.0), marks=marks(("start_head", -5)))
    assert used_in(made) == [0]


def test_sample_that_is_newer_than_the_spans_figures_counts() -> None:
    made = receipt(
        span("worker-0", 0, 100, cpu_s=10.0),
        samples=[sample(0, 0), sample(1, 25, 10.0), sample(2, 50, 40.0)],
        marks=marks(("run_user_job", 50), ("tear_down", 100)),
    )
    assert used_in(made) == [20, 0]


def test_sample_that_is_newer_than_the_end_counts() -> None:
    made = receipt(
        span("worker-0", 0, 100, cpu_s=40.0),
        samples=[sample(0, 0), sample(1, 60, 10.0), sample(2, 140, 50.0)],
        marks=marks(("start_workers", 60), ("run_user_job", 100)),
    )
    assert used_in(made) == [5, 10]


def test_second_cluster_counts_on_also_when_each_left_one_sample() -> None:
    made = receipt(
        span("worker-0", 0, 50, cpu_s=20.0),
        span("worker-0", 50, 100, cpu_s=40.0, cluster="heron-2"),
        samples=[sample(0, 50, 20.0), sample(0, 100, 40.0)],
        marks=marks(("run_user_job", 50), ("tear_down", 100)),
    )
    assert used_in(made) == [10, 20]


# Workers --------------------------------------------------------------------------------------


def test_peak_may_come_after_some_have_left() -> None:
    spans = [
        span("worker-0", 0, 50),
        span("worker-1", 0, 100),
        span("worker-2", 60, 100),
        span("worker-3", 60, None),
    ]
    assert receipt(*spans).peak_workers == 3


def test_maximum_is_the_policys_and_one_for_a_plain_program() -> None:
    plain = run_spec("heron", cluster_spec("none", policy=POLICY))
    assert receipt(span("worker-0", 0, 9)).max_workers == 4
    known: dict[str, Any] = {"phase": "Succeeded", "created": 0.0, "ended": 9.0, "spec": plain}
    assert receipts.settle(Record(**known, spans=[span("driver", 0, 9)])).max_workers == 1


# Sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "priced"),
    [([], False), ([0.0], False), ([1.0], True), ([1.0, 0.0], True), ([0.0, 1.0], True)],
)
def test_sum_has_a_price_when_any_of_its_runs_has_one(prices: list[float], priced: bool) -> None:
    total = Sum(key="all")
    for price in prices:
        total = total.plus(receipt(span("worker-0", 0, 9, price_per_hour=price)))
    assert (total.priced, total.runs) == (priced, len(prices))


def test_nothing_has_no_sums() -> None:
    assert receipts.sums_by([], "tier") == ()


@pytest.mark.parametrize(("by", "key"), [("job", "session"), ("tier", "tiny"), ("tag", "(none)")])
def test_runs_are_summed_by_what_was_asked(by: str, key: str) -> None:
    (one,) = receipts.sums_by([receipt(span("worker-0", 0, 9))] * 2, by)
    assert (one.key, one.runs) == (key, 2)


def test_runs_of_two_days_have_two_sums_in_order() -> None:
    later = replace(receipt(span("worker-0", 0, 9)), created=CREATED + 48 * 3600)
    first, second = receipts.sums_by([later, receipt(span("worker-0", 0, 9))], "day")
    assert (first.key < second.key, first.runs, second.runs) == (True, 1, 1)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("python",), "python"),
        (("python3", "train.py"), "train.py"),
        (("python", "-m"), "python"),
        (("python", "-u", "-O"), "python"),
        (("python", "-m", "train"), "train"),
        (("./train.sh", "-m", "x"), "train.sh"),
    ],
)
def test_program_with_few_words_has_a_name(argv: tuple[str, ...], name: str) -> None:
    assert receipts.job_name(replace(SPEC, job=JobSpec(argv=argv, workdir="/"))) == name


def test_run_without_a_program_is_a_session() -> None:
    assert receipts.job_name(SPEC) == "session"


# Advice ---------------------------------------------------------------------------------------


def test_use_of_the_head_is_no_use_of_the_workers() -> None:
    head = span("head", 0, 100, cpu_s=1000.0, peak_memory_bytes=999)
    advice = receipt(head, span("worker-0", 0, 100, cpu_s=20.0, peak_memory_bytes=400)).advice
    assert advice.startswith("10 % of the CPU of tier tiny was used and at most 40 %")


def test_fullest_worker_counts() -> None:
    spans = [span(f"worker-{n}", 0, 100, peak_memory_bytes=peak) for n, peak in enumerate((1, 930))]
    assert receipt(*spans).advice.startswith("memory peaked at 93 %")


def test_run_without_workers_yet_has_no_peak_of_memory() -> None:
    assert not receipt(span("head", 0, 100)).advice.startswith("memory")


@pytest.mark.parametrize(("cpu_s", "given"), [(120.0, True), (119.0, False)])
def test_busy_is_three_fifths_of_the_cores_that_were_asked(cpu_s: float, given: bool) -> None:
    samples = [sample(n, 10.0 * n, wanted=4) for n in range(11)]
    made = receipt(span("worker-0", 0, 100, cpu_s=cpu_s), samples=samples)
    assert made.advice.startswith("all 4 workers were wanted 100 % of the time") is given


def test_minimum_that_idles_is_told_with_its_use_and_its_time() -> None:
    """Wanted 2 for 30 s at 8 %, 1 for 40 s at 15 %, then 3 for 30 s at 90 %."""
    looks = [(0, 2, 8), (30, 1, 15), (70, 3, 90), (100, 3, 90)]
    samples = [
        sample(n, at, wanted=wanted, cpu_percent=cpu) for n, (at, wanted, cpu) in enumerate(looks)
    ]
    advice = receipt(span("worker-0", 0, 100, cpu_s=100.0), samples=samples).advice
    assert advice.startswith("the minimum of 2 workers used 12 % of its CPU 70 % of the time")


def test_time_in_which_nobody_had_joined_says_nothing_about_the_minimum() -> None:
    looks = [(0, 0, 0), (90, 2, 50), (100, 2, 50)]
    samples = [
        sample(n, at, joined=joined, cpu_percent=cpu) for n, (at, joined, cpu) in enumerate(looks)
    ]
    assert receipt(span("worker-0", 0, 100, cpu_s=100.0), samples=samples).advice == ""


@pytest.mark.parametrize(
    ("numbers", "first_s"), [((0, 1, 1, 2), 10), ((0, 0, 0, 1), 0)], ids=["two each", "one"]
)
def test_time_between_two_clusters_is_nobodys(numbers: tuple[int, ...], first_s: float) -> None:
    """The first idles until its last sample; then comes a pause, then 20 s of work."""
    moments = (0.0, first_s, 70.0, 90.0)
    use = (1, 1, 80, 80)
    samples = [
        sample(n, at, cpu_percent=cpu) for n, at, cpu in zip(numbers, moments, use, strict=True)
    ]
    spans = [
        span("worker-0", 0, 50, cpu_s=40.0),
        span("worker-0", 70, 100, cpu_s=40.0, cluster="heron-2"),
    ]
    assert receipt(*spans, samples=samples).advice == ""


def test_run_that_never_held_a_worker_is_given_no_advice() -> None:
    assert receipt(span("head", 0, 100, cpu_s=1.0)).advice == ""


# From the ledger ------------------------------------------------------------------------------


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    ledger.reserve(Run(name=RUN, spec_json=to_json(SPEC)))
    ledger.add_cluster(CLUSTER, RUN, attempt=1, pool="test", lease_s=5)
    ledger.update_run(RUN, created=CREATED, ended=CREATED + 100, phase="Succeeded")
    yield ledger
    ledger.close()


def test_run_that_nobody_knows_has_no_receipt(ledger: Ledger) -> None:
    assert receipts.receipt_of(ledger, RunName("egret")) is None


def test_run_that_held_nothing_has_no_receipt(ledger: Ledger) -> None:
    assert receipts.receipt_of(ledger, RUN) is None
    assert receipts.receipts_since(ledger, 0.0) == []


def test_receipt_is_of_the_runs_own_spans_samples_and_steps(ledger: Ledger) -> None:
    samples = [sample(0, 0), sample(1, 50, 40.0)]
    ledger.write_usage(CLUSTER, [span("worker-0", 0, 100, cpu_s=40.0)], samples)
    for kind, step, at in [
        ("step_done", "start_head", 10.0),
        ("step_waiting", "start_workers", 20.0),
        ("step_done", None, 30.0),
        ("step_failed", "run_user_job", 50.0),
    ]:
        where = Step(step) if step else None
        told = Event(run=RUN, kind=EventKind(kind), message="", step=where, at=CREATED + at)
        ledger.append(told)
    made = receipts.receipt_of(ledger, RUN)
    assert made is not None
    assert (made.run, made.phase, made.total.seconds) == ("heron", "Succeeded", 100)
    assert [(step, use.seconds, use.used_s) for step, use in made.steps] == [
        ("start_head", 10, 4),
        ("run_user_job", 40, 16),
    ]


def test_run_ends_when_its_last_share_is_given_back(ledger: Ledger) -> None:
    ledger.write_usage(CLUSTER, [span("worker-0", 0, 130), span("worker-1", 0, 120)], [])
    made = receipts.receipt_of(ledger, RUN)
    assert made is not None
    assert made.total.seconds == 130


@pytest.mark.parametrize("ended", [None, 50.0], ids=["goes on", "its share is held still"])
def test_run_that_holds_something_lasts_until_now(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, ended: float | None
) -> None:
    monkeypatch.setattr(receipts, "wall_s", lambda: CREATED + 77)
    ledger.update_run(RUN, ended=None if ended is None else CREATED + ended)
    ledger.write_usage(CLUSTER, [span("worker-0", 0, None)], [])
    made = receipts.receipt_of(ledger, RUN)
    assert made is not None
    assert (made.total.seconds, made.total.asked_s) == (77, 77)


def test_run_without_a_share_goes_on_until_it_is_ended(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "wall_s", lambda: CREATED + 77)
    ledger.update_run(RUN, ended=None)
    ledger.write_usage(CLUSTER, [span("worker-0", 0, 20)], [])
    made = receipts.receipt_of(ledger, RUN)
    assert made is not None
    assert (made.total.seconds, made.total.asked_s) == (77, 20)


@pytest.mark.parametrize(("since", "runs"), [(CREATED, [RUN]), (CREATED + 0.1, [])])
def test_receipts_are_of_runs_asked_for_since_then(
    ledger: Ledger, since: float, runs: list[str]
) -> None:
    ledger.write_usage(CLUSTER, [span("worker-0", 0, 100)], [])
    assert [one.run for one in receipts.receipts_since(ledger, since)] == runs
