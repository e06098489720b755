"""The infrastructure at one moment: pools and nodes, what runs where, who waits, which leases hold.

Belongs here: gathering it (``gather``), and what a lease or a tier comes to just now.
Does not belong here: how it is shown, and doing anything about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.hardware import HardwareTier, Neighbours, Node, NodePool
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.models.records import Cluster, LeaseState, Run, Share
from ebbtide.infra.models.resources import NOTHING, Resources, format_duration
from ebbtide.infra.platforms.base import known_platforms, load_platform
from ebbtide.infra.processes.identity import may_live
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
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
class Waiting:
    """A cluster that waits for room in its pool."""

    run: RunName
    cluster: ClusterId
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
    """Until it expires unless it is renewed; by this machine's clock, for people to read."""
    renewed_by: int | None
    """The flow process; None when it is dead and nobody renews the lease."""

    @property
    def sentence(self) -> str:
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

    run: RunName
    cluster: ClusterId
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
    ledger = open_store(settings)
    try:
        living = ledger.living_with_runs()
        specs = {run.name: run.spec for _, run in living}
        pools = _pools(settings, catalog, specs.values())
        shares = tuple(_share(share, pools) for share in ledger.shares())
    finally:
        ledger.close()
    return Overview(
        at=wall_s(),
        source=catalog.source,
        pools=pools,
        tiers=tier_states(catalog, pools),
        shares=shares,
        queue=waiting_in((cluster for cluster, _ in living), specs),
        clusters=tuple(_cluster(cluster, run, specs[run.name]) for cluster, run in living),
        neighbours=_neighbours(pools),
    )


def tier_states(catalog: Catalog, pools: Iterable[PoolState]) -> tuple[TierState, ...]:
    """How often each tier fits in what is free of its pool."""
    free = {state.pool.name: state.free for state in pools}
    default = catalog.tier(catalog.default_tier)
    return tuple(
        TierState(
            tier=tier,
            default=tier == default,
            fit_now=tier.resources.how_often_in(free[tier.pool]),
        )
        for tier in catalog.tiers
    )


def waiting_in(clusters: Iterable[Cluster], specs: dict[RunName, RunSpec]) -> tuple[Waiting, ...]:
    """The queues of all pools, from living clusters in their order."""
    last: dict[str, int] = {}
    found = []
    for cluster in clusters:
        if cluster.state is LeaseState.QUEUED:
            last[cluster.pool] = last.get(cluster.pool, 0) + 1
            entry = Waiting(
                run=cluster.run,
                cluster=cluster.id,
                pool=cluster.pool,
                position=last[cluster.pool],
                asked=specs[cluster.run].cluster.first_ask,
                since=cluster.created,
            )
            found.append(entry)
    return tuple(found)


def lease_of(ledger: RunStore, cluster: ClusterId) -> Lease | None:
    """The lease of one cluster; None when it, or its run, is not in the ledger."""
    found = ledger.cluster(cluster)
    run = ledger.run(found.run) if found is not None else None
    return None if found is None or run is None else _lease(found, run)


def last_view(ledger: RunStore, run: RunName) -> ClusterView:
    """What was last seen of the run's latest cluster; empty when there is none yet."""
    found = ledger.last_cluster(run)
    return ClusterView(cluster=ClusterId("")) if found is None else found.last_view


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


def _neighbours(states: Iterable[PoolState]) -> Neighbours:
    """Of all nodes. One that is in several pools says the same in each."""
    nodes = {node.name: node for state in states for node in state.nodes}
    beside = [node.neighbours for node in nodes.values()]
    claims = tuple(claim for each in beside for claim in each.claims)
    return Neighbours(claims, hidden=next((each.hidden for each in beside if each.hidden), ""))


def _share(share: Share, pools: Iterable[PoolState]) -> Share:
    nodes = [node for state in pools if state.pool.name == share.pool for node in state.nodes]
    return replace(share, node=nodes[0].name) if len(nodes) == 1 else share


def _cluster(cluster: Cluster, run: Run, spec: RunSpec) -> ClusterState:
    view = cluster.last_view
    return ClusterState(
        run=run.name,
        cluster=cluster.id,
        pool=cluster.pool,
        framework=spec.cluster.framework,
        phase=run.phase,
        workers_wanted=view.workers_wanted,
        workers_joined=view.workers_joined,
        lease=_lease(cluster, run),
        owner=run.owner,
    )


def _lease(cluster: Cluster, run: Run) -> Lease:
    flow = run.flow_process
    return Lease(
        duration_s=cluster.lease_s,
        left_s=max(0.0, cluster.lease_s - (wall_s() - cluster.renewed_at)),
        renewed_by=flow.pid if flow is not None and may_live(flow) else None,
    )
