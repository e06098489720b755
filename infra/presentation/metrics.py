"""What there is now as metrics, in the text format that Prometheus reads.

All of them are gauges: they are counted from records and platforms when they are asked for, and
records are pruned. None has a label with a run's name, so that their number does not grow with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest

from ebbtide.infra.lifecycle.inventory import Overview, PoolState
from ebbtide.infra.models.records import Run
from ebbtide.infra.models.resources import Resources

Samples = dict[tuple[str, ...], float]
"""Values by those of the labels."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What one metric is called and says."""

    name: str
    told: str
    labels: tuple[str, ...] = ()


RUNS = Metric("ebb_runs", "Runs that have not ended.", ("phase", "framework"))
ENDED = Metric(
    "ebb_runs_ended",
    "Runs that have ended, as far as their records are kept; reason is empty where all went well.",
    ("phase", "reason", "framework"),
)
WAITING = Metric("ebb_queue_runs", "Runs that wait for room in a pool.", ("pool",))
WAITED = Metric(
    "ebb_queue_oldest_seconds",
    "How long the run that has waited longest for room in a pool has waited.",
    ("pool",),
)
CLUSTERS = Metric("ebb_clusters", "Clusters that are not released.", ("pool", "framework"))
WANTED = Metric("ebb_workers_wanted", "Workers that the autoscaler wants.", ("pool", "framework"))
JOINED = Metric(
    "ebb_workers_joined", "Workers that have registered with their head.", ("pool", "framework")
)
UNOWNED = Metric(
    "ebb_unowned_clusters",
    "Clusters and runs without a living owner: ebb held names them, ebb held --release ends them.",
)
NODES = Metric("ebb_pool_nodes", "Nodes of a pool that are there.", ("pool",))
_STATES = "used: held by runs; others: by what is not Ebb's; capacity: all there can ever be."
CPU = Metric("ebb_pool_cpu_cores", f"CPU of a pool, in cores. {_STATES}", ("pool", "state"))
MEMORY = Metric("ebb_pool_memory_bytes", f"Memory of a pool. {_STATES}", ("pool", "state"))
GPUS = Metric("ebb_pool_gpus", f"GPUs of a pool. {_STATES}", ("pool", "state"))

METRICS = (
    *(RUNS, ENDED, WAITING, WAITED, CLUSTERS, WANTED, JOINED, UNOWNED),
    *(NODES, CPU, MEMORY, GPUS),
)


def count(overview: Overview, runs: Iterable[Run], unowned: int) -> dict[Metric, Samples]:
    """Count all metrics.

    Args:
        overview: of pools, clusters and queues.
        runs: all whose records are kept.
        unowned: how many clusters and runs have no living owner.

    Returns:
        The samples of each metric, in the order of ``METRICS``; of some there may be none.
    """
    found = {**_of_runs(runs), **_of_clusters(overview), **_of_pools(overview.pools)}
    found[UNOWNED] = {(): float(unowned)}
    return {metric: dict(sorted(found[metric].items())) for metric in METRICS}


def as_text(counted: Mapping[Metric, Samples]) -> str:
    """Write metrics in Prometheus' text format, with their help; also those without samples."""
    return generate_latest(_Registry(counted)).decode()


def as_data(counted: Mapping[Metric, Samples]) -> list[dict[str, Any]]:
    """Return metrics as data for JSON: name, labels and value of each sample."""
    return [
        {
            "name": metric.name,
            "labels": dict(zip(metric.labels, labels, strict=True)),
            "value": value,
        }
        for metric, samples in counted.items()
        for labels, value in samples.items()
    ]


class _Registry(CollectorRegistry):
    """What the library writes down."""

    def __init__(self, counted: Mapping[Metric, Samples]):
        super().__init__()
        self._counted = counted

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for metric, samples in self._counted.items():
            family = GaugeMetricFamily(metric.name, metric.told, labels=metric.labels)
            for labels, value in samples.items():
                family.add_metric(labels, value)
            yield family


def _of_runs(runs: Iterable[Run]) -> dict[Metric, Samples]:
    open_, ended = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for run in runs:
        framework, reason = run.spec.cluster.framework, run.reason.value if run.reason else ""
        if run.over:
            ended[(run.phase.value, reason, framework)] += 1
        else:
            open_[(run.phase.value, framework)] += 1
    return {RUNS: _floats(open_), ENDED: _floats(ended)}


def _of_clusters(overview: Overview) -> dict[Metric, Samples]:
    waiting, waited = Counter[tuple[str, ...]](), Samples()
    for entry in overview.queue:
        if entry.position is not None:
            waiting[(entry.pool,)] += 1
            waited[(entry.pool,)] = max(waited.get((entry.pool,), 0), overview.at - entry.since)
    clusters, wanted, joined = (Counter[tuple[str, ...]]() for _ in range(3))
    for each in overview.clusters:
        labels = (each.pool, each.framework)
        clusters[labels] += 1
        wanted[labels] += each.workers_wanted
        joined[labels] += each.workers_joined
    pools = [(state.pool.name,) for state in overview.pools]
    return {
        WAITING: {pool: float(waiting[pool]) for pool in pools},
        WAITED: {pool: waited.get(pool, 0.0) for pool in pools},
        CLUSTERS: _floats(clusters),
        WANTED: _floats(wanted),
        JOINED: _floats(joined),
    }


def _of_pools(states: Iterable[PoolState]) -> dict[Metric, Samples]:
    found: dict[Metric, Samples] = {NODES: {}, CPU: {}, MEMORY: {}, GPUS: {}}
    for state in states:
        pool = state.pool.name
        found[NODES][(pool,)] = float(len(state.nodes))
        amounts = {
            "capacity": state.pool.capacity,
            "used": state.used,
            "others": state.others.requested,
        }
        for name, amount in amounts.items():
            for metric, value in _values(amount):
                found[metric][(pool, name)] = value
    return found


def _values(amount: Resources) -> tuple[tuple[Metric, float], ...]:
    cores, memory, gpus = amount.cpu_millis / 1000, amount.memory_bytes, amount.gpus
    return ((CPU, cores), (MEMORY, float(memory)), (GPUS, float(gpus)))


def _floats(counted: Counter[tuple[str, ...]]) -> Samples:
    return {labels: float(count) for labels, count in counted.items()}
