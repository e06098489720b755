"""Runs, queues, clusters and pools as metrics."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ebbtide.infra.lifecycle.inventory import ClusterState, Lease, Overview, PoolState, Waiting
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.hardware import Node, NodePool, OtherPods
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.models.resources import NOTHING, Resources
from ebbtide.infra.presentation.metrics import METRICS, as_data, as_text, count
from tests.clusters import cluster_spec, run_spec

POOL = NodePool(name="cpu", platform="kubernetes", capacity=Resources(8000, 2**34, 2))
NOW = 1000.0
NOBODY = Overview(
    at=NOW,
    source="",
    pools=(PoolState(pool=POOL, nodes=()),),
    tiers=(),
    shares=(),
    queue=(),
    clusters=(),
)
EGRET, HERON = ClusterId("egret-1"), ClusterId("heron-1")


def run(name: str, phase: Phase, reason: Reason | None = None) -> Run:
    spec = to_json(run_spec(name, cluster_spec("dask")))
    ended = NOW if phase in (Phase.SUCCEEDED, Phase.FAILED) else None
    return Run(name=RunName(name), spec_json=spec, phase=phase, reason=reason, ended=ended)


def cluster(wanted: int, joined: int) -> ClusterState:
    return ClusterState(
        run=RunName("heron"),
        cluster=HERON,
        pool="cpu",
        framework="dask",
        phase=Phase.RUNNING,
        workers_wanted=wanted,
        workers_joined=joined,
        lease=Lease(duration_s=30, left_s=20, renewed_by=None),
        owner="",
    )


Found = dict[tuple[str, frozenset[str]], float]


def at(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return (name, frozenset(labels))


def told(overview: Overview, *runs: Run, unowned: int = 0) -> Found:
    """By name and values of the labels, as Prometheus reads it."""
    text = as_text(count(overview, runs, unowned))
    return {
        at(sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_runs_are_counted_by_phase_and_those_that_ended_by_reason() -> None:
    failed = run("b", Phase.FAILED, Reason.EXIT_CODE)
    found = told(NOBODY, run("a", Phase.RUNNING), failed, replace(failed, name=RunName("c")))
    assert found[at("ebb_runs", "Running", "dask")] == 1
    assert found[at("ebb_runs_ended", "Failed", Reason.EXIT_CODE.value, "dask")] == 2


def test_queue_says_how_many_wait_and_how_long_the_first_has() -> None:
    first = Waiting(
        run=RunName("egret"), cluster=EGRET, pool="cpu", position=1, asked=NOTHING, since=NOW - 60
    )
    second = replace(first, position=2, since=NOW - 5)
    grows = replace(first, position=None, since=NOW - 500)  # it has its place
    found = told(replace(NOBODY, queue=(first, second, grows)))
    assert (found[at("ebb_queue_runs", "cpu")], found[at("ebb_queue_oldest_seconds", "cpu")]) == (
        2,
        60,
    )


def test_pool_in_which_nobody_waits_says_so() -> None:
    found = told(NOBODY)
    assert (found[at("ebb_queue_runs", "cpu")], found[at("ebb_queue_oldest_seconds", "cpu")]) == (
        0,
        0,
    )


def test_workers_of_clusters_are_added_up() -> None:
    found = told(replace(NOBODY, clusters=(cluster(3, 2), cluster(4, 4))))
    names = ("ebb_clusters", "ebb_workers_wanted", "ebb_workers_joined")
    assert [found[at(name, "cpu", "dask")] for name in names] == [2, 7, 6]


def test_pool_says_what_runs_and_others_hold_of_it() -> None:
    others = OtherPods(count=1, requested=Resources(500, 2**20))
    node = Node(name="n1", capacity=POOL.capacity, used=Resources(2000, 2**30, 1), others=others)
    found = told(replace(NOBODY, pools=(PoolState(pool=POOL, nodes=(node,)),)))
    states = ("capacity", "others", "used")
    assert [found[at("ebb_pool_cpu_cores", "cpu", state)] for state in states] == [8, 0.5, 2]
    assert [found[at("ebb_pool_memory_bytes", "cpu", state)] for state in states] == [
        2**34,
        2**20,
        2**30,
    ]
    assert [found[at("ebb_pool_gpus", "cpu", state)] for state in states] == [2, 0, 1]
    assert found[at("ebb_pool_nodes", "cpu")] == 1


@pytest.mark.parametrize("unowned", [0, 3])
def test_what_nobody_owns_is_counted(unowned: int) -> None:
    assert told(NOBODY, unowned=unowned)[at("ebb_unowned_clusters")] == unowned


def test_each_metric_has_its_help_though_there_is_none_of_it() -> None:
    text = as_text(count(NOBODY, (), 0))
    assert [line for line in text.splitlines() if line.startswith("# HELP")] == [
        f"# HELP {metric.name} {metric.told}" for metric in METRICS
    ]


def test_as_data_each_sample_has_its_labels() -> None:
    (found,) = (each for each in as_data(count(NOBODY, (), 0)) if each["name"] == "ebb_queue_runs")
    assert found == {"name": "ebb_queue_runs", "labels": {"pool": "cpu"}, "value": 0.0}
