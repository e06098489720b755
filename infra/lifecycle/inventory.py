"""The infrastructure at one moment: pools and nodes, what runs where, who waits, which leases hold.

Belongs here: gathering it (``gather``), and what a lease or a tier comes to just now.
Does not belong here: how it is shown, and doing anything about it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import from_json
from ebbtide.infra.models.hardware import HardwareTier, Node, NodePool
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.models.resources import NOTHING, Resources, format_duration
from ebbtide.infra.platforms.base import known_platforms, load_platform
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.platforms.local.neighbours import Neighbours, neighbours
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """One pool and its nodes."""

    pool: NodePool
    nodes: tuple[Node, ...]

    @property
    def used(self) -> Resources:
        """Held by runs now."""
        return sum((node.used for node in self.nodes), start=NOTHING)

    @property
    def free(self) -> Resources:
        """Of all there can ever be, what nobody holds; never below zero."""
        return (self.pool.capacity - self.used).or_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class TierState:
    """One tier, and how many workers of it there is room for."""

    tier: HardwareTier
    default: bool
    fit_now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A part of a pool that something running has."""

    run: str
    cluster: str
    owner: str
    """head (with the driver in it), worker-0, …, or driver where there is no cluster."""
    pool: str
    node: str
    """Empty when its pool has several and nobody has said which."""
    amount: Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A cluster that waits for room in its pool."""

    run: str
    cluster: str
    pool: str
    position: int
    """1 = next."""
    asked: Resources
    """Taken together or not at all: the head and the first workers."""
    since: float
    """Unix time, seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Until when a cluster is held, and whether somebody still wants it."""

    duration_s: float
    left_s: float
    """Until it lapses unless it is renewed; by this machine's clock, for people to read."""
    renewed_by: int | None
    """The flow process; None when it is dead and nobody renews the lease."""

    @property
    def words(self) -> str:
        """One line."""
        lease = f"lease {format_duration(self.left_s)} of {format_duration(self.duration_s)}"
        return f"{lease}, {self.renewer}"

    @property
    def renewer(self) -> str:
        """Who renews it, in words."""
        return f"renewed by flow {self.renewed_by}" if self.renewed_by else "nobody renews it"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """A cluster that is not released yet."""

    run: str
    cluster: str
    pool: str
    framework: str
    phase: Phase
    workers_wanted: int
    workers_joined: int
    lease: Lease
    owner: str
    """Who asked for the run; empty when nobody said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it."""

    at: float
    """When it was gathered; Unix time, seconds."""
    source: str
    """Where pools and tiers are written down."""
    pools: tuple[PoolState, ...]
    tiers: tuple[TierState, ...]
    shares: tuple[Share, ...]
    queue: tuple[Waiting, ...]
    clusters: tuple[ClusterState, ...]
    neighbours: Neighbours = field(default_factory=Neighbours)
    """What is held of this machine by others, who are no part of the queue."""


def gather(settings: Settings, catalog: Catalog) -> Overview:
    """What is now, from the platforms and the ledger."""
    ledger = Ledger(settings.home)
    try:
        rows = ledger.living_with_runs()
        specs = {row["run"]: from_json(RunSpec, row["spec"]) for row in rows}
        pools = _pools(settings, catalog, specs.values())
        shares = tuple(_share(row, pools) for row in ledger.shares())
    finally:
        ledger.close()
    return Overview(
        at=wall_s(),
        source=catalog.source,
        pools=pools,
        tiers=tier_states(catalog, pools),
        shares=shares,
        queue=waiting_in(rows, specs),
        clusters=tuple(_cluster(row, specs[row["run"]]) for row in rows),
        neighbours=neighbours(settings.home),
    )


def tier_states(catalog: Catalog, pools: Iterable[PoolState]) -> tuple[TierState, ...]:
    """How often each tier fits in what is free of its pool."""
    free = {state.pool.name: state.free for state in pools}
    return tuple(
        TierState(
            tier=tier,
            default=tier.name == catalog.default_tier,
            fit_now=tier.resources.how_often_in(free[tier.pool]),
        )
        for tier in catalog.tiers
    )


def waiting_in(rows: Iterable[sqlite3.Row], specs: dict[str, RunSpec]) -> tuple[Waiting, ...]:
    """The queues of all pools, from living clusters in their order."""
    last: dict[str, int] = {}
    found = []
    for row in rows:
        if row["state"] == "queued":
            pool = row["pool"]
            last[pool] = last.get(pool, 0) + 1
            entry = Waiting(
                run=row["run"],
                cluster=row["id"],
                pool=pool,
                position=last[pool],
                asked=specs[row["run"]].cluster.first_ask,
                since=row["created"],
            )
            found.append(entry)
    return tuple(found)


def lease_of(ledger: Ledger, cluster: str) -> Lease | None:
    """The lease of one cluster; None when it is not in the ledger."""
    row = ledger.cluster_with_run(cluster)
    return None if row is None else _lease(row)


def last_view(ledger: Ledger, run: str) -> ClusterView:
    """What was last seen of the run's latest cluster; empty when there is none yet."""
    row = ledger.last_cluster(run)
    return ClusterView(cluster="") if row is None else _view(row)


def _pools(settings: Settings, catalog: Catalog, specs: Iterable[RunSpec]) -> tuple[PoolState, ...]:
    """The catalog's, and those of runs that were started with another catalog."""
    pools = {pool.name: pool for pool in catalog.pools}
    for spec in specs:
        pools.setdefault(spec.cluster.pool.name, spec.cluster.pool)
    return tuple(_pool(settings, pool) for pool in pools.values())


def _pool(settings: Settings, pool: NodePool) -> PoolState:
    known = pool.platform in known_platforms()
    nodes = load_platform(pool.platform, settings).nodes(pool) if known else ()
    return PoolState(pool=pool, nodes=nodes)


def _share(row: sqlite3.Row, pools: Iterable[PoolState]) -> Share:
    nodes = [node for state in pools if state.pool.name == row["pool"] for node in state.nodes]
    return Share(
        run=row["run"],
        cluster=row["cluster"],
        owner=row["owner"],
        pool=row["pool"],
        node=nodes[0].name if len(nodes) == 1 else "",
        amount=Resources(row["cpu_millis"], row["memory_bytes"]),
    )


def _cluster(row: sqlite3.Row, spec: RunSpec) -> ClusterState:
    view = _view(row)
    return ClusterState(
        run=row["run"],
        cluster=row["id"],
        pool=row["pool"],
        framework=spec.cluster.framework,
        phase=Phase(row["phase"]),
        workers_wanted=view.workers_wanted,
        workers_joined=view.workers_joined,
        lease=_lease(row),
        owner=row["owner"],
    )


def _lease(row: sqlite3.Row) -> Lease:
    lives = marks.alive(row["flow_pid"], row["flow_started"])
    return Lease(
        duration_s=row["lease_s"],
        left_s=max(0.0, row["lease_s"] - (wall_s() - row["renewed"])),
        renewed_by=row["flow_pid"] if lives else None,
    )


def _view(row: sqlite3.Row) -> ClusterView:
    """Its owner's last word; empty until it has said one."""
    if row["view"] == "{}":
        return ClusterView(cluster=row["id"])
    return from_json(ClusterView, row["view"])
