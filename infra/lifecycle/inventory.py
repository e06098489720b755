"""The infrastructure at one moment: pools and nodes, what runs where, who waits, which leases hold.

Belongs here: gathering it (``gather``), and what a lease or a tier comes to just now.
Does not belong here: how it is shown, and doing anything about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.hardware import (
    HardwareTier,
    Machines,
    Neighbours,
    Node,
    NodePool,
    OtherPods,
    PlacedPod,
)
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Cluster, LeaseState, Run, Share
from ebbtide.infra.models.resources import NOTHING, Resources, format_duration
from ebbtide.infra.models.usage import PROGRAM
from ebbtide.infra.platforms.base import known_platforms, load_platform
from ebbtide.infra.processes.identity import may_live
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """One pool and its nodes."""

    pool: NodePool
    nodes: tuple[Node, ...]
    listed: bool = True
    """Whether these are all its nodes."""

    @property
    def used(self) -> Resources:
        """Held by runs now."""
        return sum((node.used for node in self.nodes), start=NOTHING)

    @property
    def others(self) -> OtherPods:
        """Pods on its nodes that are not ours, as far as they could be looked at."""
        return sum((node.others for node in self.nodes if node.others), start=OtherPods())

    @property
    def free(self) -> Resources:
        """Of all there can ever be, what nobody holds; never below zero.

        What daemons ask for is not in a pool's capacity from the start.
        """
        others = self.others.requested - self.others.of_daemons
        return (self.pool.capacity - self.used - others).or_nothing

    def fits(self, tier: HardwareTier) -> int:
        """How many workers of a tier there is room for now.

        Each stands on one node: what is free of two is no room for one. So it is counted on each
        node that takes work, and on those that the pool may still grow by.
        """
        size, maximum = self.pool.node, self.pool.max_nodes
        if size is None or maximum is None:
            return tier.resources.how_often_in(self.free)
        here = sum(
            tier.resources.how_often_in(node.free) for node in self.nodes if self._takes(node, tier)
        )
        return here + max(0, maximum - len(self.nodes)) * tier.resources.how_often_in(size)

    def _takes(self, node: Node, tier: HardwareTier) -> bool:
        """Whether a node takes work of a tier, as far as it could be looked at."""
        if not node.seen:
            return True
        has_gpus = not tier.gpu_type or node.gpu_type == tier.gpu_type
        # Where only some nodes are spot, pods of spot tiers go to those, and others keep off them.
        of_kind = not self.pool.spot_label or tier.spot == node.spot
        return node.ready and has_gpus and of_kind


@dataclass(frozen=True, slots=True, kw_only=True)
class TierState:
    """One tier, and how many workers of it there is room for."""

    tier: HardwareTier
    default: bool
    fit_now: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A cluster that waits for room in its pool, or that has some and waits for more pods."""

    run: RunName
    cluster: ClusterId
    pool: str
    position: int | None
    """1 = next; None: it runs, and waits for more."""
    asked: Resources
    """Taken together or not at all: the head and the first workers. Of one that runs, what its
    pods without a node ask for."""
    since: float
    """Unix time, seconds."""
    why: str = ""
    """As whoever takes care of it has seen it last; empty: nothing is known yet."""


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
    not_shown: tuple[str, ...] = ()
    """What could not be looked at and why, a sentence each."""

    def of_pool(self, name: str) -> Overview:
        """Return what of it is about one pool.

        Raises:
            ConfigurationError: OPTION_INVALID, there is no pool of this name.
        """
        known = [state.pool.name for state in self.pools]
        if name not in known:
            hint = did_you_mean(name, known, otherwise=f"pools: {', '.join(known)}")
            summary = f"there is no pool {name!r} in {self.source}"
            raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
        return replace(
            self,
            pools=tuple(state for state in self.pools if state.pool.name == name),
            tiers=tuple(state for state in self.tiers if state.tier.pool == name),
            shares=tuple(share for share in self.shares if share.pool == name),
            queue=tuple(entry for entry in self.queue if entry.pool == name),
            clusters=tuple(state for state in self.clusters if state.pool == name),
        )


def gather(settings: Settings, catalog: Catalog) -> Overview:
    """What is now, from the platforms and the ledger."""
    ledger = open_store(settings)
    try:
        living = ledger.living_with_runs()
        specs = {run.name: run.spec for _, run in living}
        pools, seen = _pools(settings, catalog, specs.values())
        held = ledger.shares()
        unlisted = (ledger.unreachable,) if ledger.unreachable else ()
    finally:
        ledger.close()
    pods = [pod for each in seen.values() for pod in each.pods or ()]
    # What pods say is so now; what is written of them is some seconds old, and names no node.
    told = {name for name, each in seen.items() if each.pods is not None}
    by_pods = {state.pool.name for state in pools if state.pool.platform in told}
    written = [_share(share, pools) for share in held if share.pool not in by_pods]
    clusters = [cluster for cluster, _ in living]
    return Overview(
        at=wall_s(),
        source=catalog.source,
        pools=pools,
        tiers=tier_states(catalog, pools),
        shares=(*written, *_shares_of(pods, clusters, specs)),
        queue=waiting_in(clusters, specs, [pod for pod in pods if not pod.node]),
        clusters=tuple(_cluster(cluster, run, specs[run.name]) for cluster, run in living),
        neighbours=_neighbours(pools),
        not_shown=(*unlisted, *(why for each in seen.values() for why in each.not_shown)),
    )


def tier_states(catalog: Catalog, pools: Iterable[PoolState]) -> tuple[TierState, ...]:
    """How often each tier fits in what is free of its pool."""
    of_pool = {state.pool.name: state for state in pools}
    default = catalog.tier(catalog.default_tier)
    return tuple(
        TierState(
            tier=tier,
            default=tier == default,
            fit_now=of_pool[tier.pool].fits(tier),
        )
        for tier in catalog.tiers
    )


def waiting_in(
    clusters: Iterable[Cluster], specs: Mapping[RunName, RunSpec], pods: Iterable[PlacedPod] = ()
) -> tuple[Waiting, ...]:
    """The queues of all pools.

    Args:
        clusters: those that live, in their order.
        specs: of their runs.
        pods: of theirs, those without a node.

    Returns:
        Clusters that wait for room and, behind them, those that run and wait for more.
    """
    last: dict[str, int] = {}
    asked: dict[ClusterId, Resources] = {}
    for pod in pods:
        asked[pod.cluster] = asked.get(pod.cluster, NOTHING) + pod.amount
    found: list[Waiting] = []
    growing: list[Waiting] = []
    for cluster in clusters:
        view = cluster.last_view
        entry = Waiting(
            run=cluster.run,
            cluster=cluster.id,
            pool=cluster.pool,
            position=None,
            asked=asked.get(cluster.id, NOTHING),
            since=view.waiting.since if view.waiting is not None else cluster.created,
            why=_why(view),
        )
        if cluster.state is LeaseState.QUEUED:
            last[cluster.pool] = place = last.get(cluster.pool, 0) + 1
            whole = specs[cluster.run].cluster.first_ask
            found.append(replace(entry, position=place, asked=whole, since=cluster.created))
        elif cluster.id in asked:
            growing.append(entry)
    return (*found, *growing)


def _why(view: ClusterView) -> str:
    """Why a cluster waits, for people."""
    if view.waiting is not None:
        return view.waiting.message
    if view.queue is None:
        return ""
    ahead = f"behind {', '.join(view.queue.ahead)}" if view.queue.ahead else ""
    return view.queue.limit or ahead or f"{view.queue.free.or_nothing} of {view.queue.pool} is free"


def lease_of(ledger: RunStore, cluster: ClusterId) -> Lease | None:
    """The lease of one cluster; None when it, or its run, is not in the ledger."""
    found = ledger.cluster(cluster)
    run = ledger.run(found.run) if found is not None else None
    return None if found is None or run is None else _lease(found, run)


def last_view(ledger: RunStore, run: RunName) -> ClusterView:
    """What was last seen of the run's latest cluster; empty when there is none yet."""
    found = ledger.last_cluster(run)
    return ClusterView(cluster=ClusterId("")) if found is None else found.last_view


def _pools(
    settings: Settings, catalog: Catalog, specs: Iterable[RunSpec]
) -> tuple[tuple[PoolState, ...], dict[str, Machines]]:
    """The catalog's, and those of runs of another one; what each platform has, by its name."""
    pools = {pool.name: pool for pool in catalog.pools}
    for spec in specs:
        pools.setdefault(spec.cluster.pool.name, spec.cluster.pool)
    seen = {
        name: _machines(settings, name, [p for p in pools.values() if p.platform == name])
        for name in dict.fromkeys(pool.platform for pool in pools.values())
    }
    states = []
    for pool in pools.values():
        there = seen[pool.platform]
        nodes = there.nodes.get(pool.name, ())
        states.append(PoolState(pool=pool, nodes=nodes, listed=there.listed))
    return tuple(states), seen


def _machines(settings: Settings, platform: str, pools: list[NodePool]) -> Machines:
    """What a platform has for its pools; one that cannot be asked hides no other."""
    if platform not in known_platforms():
        return Machines()
    try:
        return load_platform(platform, settings).machines(pools)
    except EbbError as error:
        why = f"the nodes of platform {platform}: {error.message}"
        return Machines(listed=False, not_shown=(why,))


def _shares_of(
    pods: Iterable[PlacedPod], clusters: Iterable[Cluster], specs: Mapping[RunName, RunSpec]
) -> list[Share]:
    """What pods on nodes hold: the oldest cluster first, its head first, worker-2 before 10."""
    known = {cluster.id: (place, cluster) for place, cluster in enumerate(clusters)}
    found = []
    for pod in pods:
        place, cluster = known.get(pod.cluster, (len(known), None))
        if pod.node:
            spec = specs.get(pod.run)
            owner = _owner(pod, cluster, beside=spec is not None and spec.cluster.has_workers)
            share = Share(
                run=pod.run,
                cluster=pod.cluster,
                owner=owner,
                pool=pod.pool,
                amount=pod.amount,
                node=pod.node,
            )
            found.append(((place, pod.role != "head", len(owner), owner), share))
    return [share for _, share in sorted(found, key=lambda pair: pair[0])]


def _owner(pod: PlacedPod, cluster: Cluster | None, *, beside: bool) -> str:
    """What of a cluster a pod is, in the words of receipts; ``beside``: there is a head too."""
    if pod.role == "worker":
        names = cluster.last_view.worker_names if cluster is not None else {}
        return names.get(pod.name, pod.name)
    if pod.program:
        return pod.program
    return PROGRAM if beside and pod.role == "driver" else pod.role


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
