"""Receipts: worked cases of every figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebbtide.infra.accounting import receipts
from ebbtide.infra.accounting.receipts import Receipt, Record
from ebbtide.infra.accounting.use import Use
from ebbtide.infra.models.cluster import AutoscalePolicy
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.usage import Sample, Span
from tests.clusters import TIER, cluster_spec, run_spec

TWO_CORES = replace(TIER, name="two", resources=replace(TIER.resources, cpu_millis=2000))
PRICED, HEAD = replace(TWO_CORES, price_per_hour=3.6), replace(TIER, price_per_hour=0.36)
POLICY = AutoscalePolicy(min_workers=1, max_workers=4)
SPEC = run_spec("heron", cluster_spec(tier=PRICED, head_tier=HEAD, policy=POLICY))


def span(owner: str, began: float, ended: float | None, cpu_s: float = 0.0, **more: Any) -> Span:
    tier = HEAD if owner == "head" else PRICED
    fixed: dict[str, Any] = {
        "cluster": "heron-1",
        "tier": tier.name,
        "cpu_millis": tier.resources.cpu_millis,
        "memory_bytes": 1000,
        "price_per_hour": tier.price_per_hour,
    }
    return Span(owner=owner, began=began, ended=ended, cpu_s=cpu_s, **{**fixed, **more})


def sample(number: int, at: float, worker_cpu_s: float, **more: Any) -> Sample:
    fixed: dict[str, Any] = {"wanted": 1, "joined": 1, "cpu_percent": 50, "memory_percent": 10}
    return Sample(number=number, at=at, worker_cpu_s=worker_cpu_s, **{**fixed, **more})


RECORD = Record(
    spec=SPEC,
    phase="Succeeded",
    created=0.0,
    ended=110.0,
    spans=[
        span("head", 10, 110, 5),
        span("worker-0", 10, 110, 100),
        span("worker-1", 30, 80, 140),
    ],
    samples=[sample(0, 10, 0), sample(1, 30, 0), sample(2, 80, 200)],
    marks=[("wait_for_nodes", 10.0), ("run_user_job", 80.0), ("tear_down", 110.0)],
)
"""Two workers of two cores: one held 100 s and half used, one held 50 s that burst."""


def settled(**more: Any) -> Receipt:
    return receipts.settle(replace(RECORD, **more))


def test_asked_is_the_time_workers_were_held_and_the_head_is_none() -> None:
    assert settled().total.asked_s == 100 + 50


def test_used_is_core_seconds_by_cores_and_a_burst_counts_up_to_what_was_asked() -> None:
    assert settled().total.used_s == 100 / 2 + 50


def test_idle_is_the_rest() -> None:
    assert settled().total.idle_s == 50


GPU_SPANS = [replace(each, gpus=0 if each.owner == "head" else 2) for each in RECORD.spans]
WITH_GPUS = replace(TWO_CORES, resources=replace(TWO_CORES.resources, gpus=2), gpu_type="T4")


def test_gpus_are_those_of_each_share_by_the_time_it_was_held() -> None:
    spec = replace(SPEC, cluster=replace(SPEC.cluster, tier=WITH_GPUS, head_tier=WITH_GPUS))
    made = settled(spec=spec, spans=GPU_SPANS)
    assert (made.total.gpu_s, made.gpu_type) == (2 * (100 + 50), "T4")
    assert dict(made.steps)["run_user_job"].gpu_s == 2 * (70 + 50)
    assert made.static.gpu_s == (4 * 2 + 2) * 100  # four workers and a head, all the time
    assert (made.total + made.total).gpu_s == 600
    assert (settled().total.gpu_s, settled().static.gpu_s) == (0, 0)


def test_a_head_that_holds_gpus_counts_too() -> None:
    assert settled(spans=[span("head", 10, 110, gpus=1)]).total.gpu_s == 100


def test_workers_without_any_figure_are_not_idle_and_give_no_advice() -> None:
    known = [span("worker-0", 0, 110, peak_memory_bytes=1), span("worker-1", 0, 110)]
    unknown = [span("head", 0, 110, 5), span("worker-1", 0, 110)]
    assert (settled(spans=known).measured, settled(spans=unknown).measured) == (True, False)
    assert "smaller --tier would do" in settled(spans=known).advice
    made = settled(spans=unknown)
    assert (made.advice, made.total.unknown_s, made.total.idle_s) == ("", 110, 0)
    assert (made.total + settled(spans=known).total).unknown_s == 110
    assert {use.idle_s for _, use in made.steps} == {0}


def test_cost_is_price_by_time_with_the_head() -> None:
    assert settled().total.cost == pytest.approx((150 * 3.6 + 100 * 0.36) / 3600)


def test_static_is_the_maximum_of_workers_for_as_long_as_the_cluster_was() -> None:
    receipt = settled()
    assert receipt.static.asked_s == 4 * 100
    assert receipt.static.cost == pytest.approx((400 * 3.6 + 100 * 0.36) / 3600)
    assert receipt.saved == pytest.approx(250 * 3.6 / 3600)


def test_peak_is_the_most_workers_at_once() -> None:
    assert settled().peak_workers == 2
    after = [span("worker-0", 0, 50), span("worker-1", 50, 60)]
    assert settled(spans=after).peak_workers == 1


def test_steps_have_their_own_time_use_and_cost() -> None:
    steps = dict(settled().steps)
    assert steps["wait_for_nodes"] == Use(seconds=10)
    job = steps["run_user_job"]
    assert (job.seconds, job.asked_s, job.used_s) == (70, 70 + 50, 200 / 2)
    assert job.cost == pytest.approx((120 * 3.6 + 70 * 0.36) / 3600)
    assert steps["tear_down"].used_s == pytest.approx((240 - 200) / 2 * 1.0, abs=0.1)


def test_a_step_done_twice_is_summed() -> None:
    again = [("start_head", 10.0), ("start_workers", 20.0), ("start_head", 40.0)]
    assert dict(settled(marks=again).steps)["start_head"].seconds == 30


def test_a_second_cluster_counts_on_from_the_first() -> None:
    spans = [
        span("worker-0", 0, 50, 40),
        span("worker-0", 60, 100, 20, cluster="heron-2"),
    ]
    samples = [sample(0, 0, 0), sample(1, 50, 40), sample(0, 60, 0), sample(1, 100, 20)]
    marks = [("run_user_job", 50.0), ("tear_down", 100.0)]
    receipt = settled(spans=spans, samples=samples, marks=marks)
    assert [use.used_s for _, use in receipt.steps] == [20, 10]
    assert receipt.static.seconds == 50 + 40


def test_a_span_without_an_end_counts_until_now() -> None:
    assert settled(spans=[span("worker-0", 10, None)]).total.asked_s == 100


def test_a_plain_program_is_its_own_static_cluster() -> None:
    spec = run_spec("heron", cluster_spec("none", tier=PRICED))
    receipt = settled(spec=spec, spans=[span("driver", 10, 110, 100)])
    assert (receipt.total.asked_s, receipt.static.asked_s, receipt.saved) == (100, 100, 0)


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (("/usr/bin/python3", "jobs/train.py", "--epochs", "3"), "train.py"),
        (("python", "-m", "jobs.train"), "train"),
        (("python", "-u", "train.py"), "train.py"),
        (("/opt/bin/render", "x"), "render"),
    ],
)
def test_runs_of_one_program_have_one_name(argv: tuple[str, ...], name: str) -> None:
    assert receipts.job_name(replace(SPEC, job=JobSpec(argv=argv, workdir="/tmp"))) == name


def test_sums_by_tag_count_a_run_in_each_of_its_tags() -> None:
    both, none = settled(spec=replace(SPEC, tags=("a", "b"))), settled()
    sums = receipts.sums_by([both, none], "tag")
    assert [(one.key, one.runs, one.total.asked_s) for one in sums] == [
        ("(none)", 1, 150),
        ("a", 1, 150),
        ("b", 1, 150),
    ]


def test_sums_by_tier_add_up() -> None:
    (one,) = receipts.sums_by([settled(), settled()], "tier")
    assert (one.key, one.runs, one.total.asked_s, one.static.asked_s) == ("two", 2, 300, 800)
    assert one.saved == pytest.approx(2 * settled().saved)


def test_a_run_that_wanted_all_its_workers_is_told_so() -> None:
    samples = [sample(n, 10.0 + 10 * n, 0, wanted=4 if n > 2 else 1) for n in range(10)]
    spans = [span("worker-0", 10, 110, 150)]
    advice = settled(samples=samples, spans=spans).advice
    assert advice.startswith("all 4 workers were wanted 67 % of the time and used 75 %")
