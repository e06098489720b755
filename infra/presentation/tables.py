"""The infrastructure as tables of text: one content for the terminal and for Prefect's page.

Imports no rich: how a table is drawn is its reader's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ebbtide.infra.lifecycle.inventory import Overview, PoolState, TierState, Waiting
from ebbtide.infra.models.hardware import HardwareTier, Neighbours, Node
from ebbtide.infra.models.records import Share
from ebbtide.infra.models.resources import Resources, format_cpu, format_duration, format_memory

Row = tuple[str, ...]
_HERE = "local"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells of text in rows; without rows, the sentence that says so."""

    title: str
    headers: Row
    rows: Sequence[Row]
    empty: str = ""


def tables(overview: Overview) -> tuple[Table, ...]:
    """Return all tables of the overview, what people ask for first coming first."""
    return (
        pools(overview.pools),
        nodes(overview.pools),
        *requests(overview.pools),
        shares(overview.shares),
        queue(overview.queue, overview.at),
        clusters(overview),
        others(overview.neighbours),
        tiers(overview.tiers),
    )


def moment(at: float) -> str:
    """Write a Unix time as this machine's clock shows it, with the difference to UTC."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z (UTC%z)")


def pools(states: Iterable[PoolState]) -> Table:
    """Return the table of pools: capacity, what is held and what is free."""
    states = tuple(states)
    gpus = _have_gpus(states)
    rows = [
        (
            state.pool.name,
            state.pool.platform,
            _count(state),
            *_amounts(state.pool.capacity, state.used, state.free, gpus=gpus),
        )
        for state in states
    ]
    return Table("Pools", ("POOL", "PLATFORM", "NODES", *_AMOUNTS, *_GPUS * gpus), rows)


def nodes(states: Iterable[PoolState]) -> Table:
    """Return the table of the machines of all pools."""
    states = tuple(states)
    gpus = _have_gpus(states)
    rows = [
        (
            node.name,
            state.pool.name,
            ("Ready" if node.ready else "NotReady") if node.seen else "not seen",
            *_amounts(node.capacity, node.used, node.free, gpus=gpus),
        )
        for state in states
        for node in state.nodes
    ]
    headers = ("NODE", "POOL", "STATUS", *_AMOUNTS, *_GPUS * gpus)
    return Table("Nodes", headers, rows, "no pool has a node now")


def requests(states: Iterable[PoolState]) -> tuple[Table, ...]:
    """Return the table of what is asked of nodes and used of them, by whomever.

    Empty where no pool's nodes have pods.
    """
    states = tuple(state for state in states if state.pool.platform != _HERE)
    if not states:
        return ()
    gpus = _have_gpus(states)
    rows = [
        (
            *(node.name, state.pool.name, node.instance_type),
            *(_cpu(node.capacity), _or_unknown(node.requested, _cpu), _or_unknown(node.load, _cpu)),
            _memory(node.capacity),
            *(_or_unknown(node.requested, _memory), _or_unknown(node.load, _memory)),
            *_gpus_asked(node) * gpus,
            *_others_of(node),
        )
        for state in states
        for node in state.nodes
    ]
    amounts = ("REQUESTED", "LOAD")
    more = ("GPUS", "REQUESTED", "GPU TYPE") * gpus
    headers = ("NODE", "POOL", "TYPE", "CPU", *amounts, "MEMORY", *amounts, *more)
    headers += ("OTHER PODS", "THEY REQUEST")
    return (Table("Requests and load", headers, rows, "no pool on Kubernetes has a node now"),)


def shares(found: Iterable[Share]) -> Table:
    """Return the table of what runs where, with GPUs where something has one."""
    listed = tuple(found)
    gpus = any(share.amount.gpus for share in listed)
    rows = [
        (
            *(s.run, s.cluster, s.owner, s.pool, s.node, _cpu(s.amount), _memory(s.amount)),
            *(str(s.amount.gpus or ""),) * gpus,
        )
        for s in listed
    ]
    headers = ("RUN", "CLUSTER", "WHAT", "POOL", "NODE", "CPU", "MEMORY", *("GPUS",) * gpus)
    return Table("What runs where", headers, rows, "nothing runs")


def queue(found: Iterable[Waiting], at: float) -> Table:
    """Return the table of the runs that wait for room: since when, for how much, and why."""
    listed = tuple(found)
    gpus = any(w.asked.gpus for w in listed)
    rows = [
        (
            str(w.position or ""),
            w.run,
            w.pool,
            _cpu(w.asked),
            _memory(w.asked),
            *(str(w.asked.gpus or ""),) * gpus,
            f"{datetime.fromtimestamp(w.since).astimezone():%H:%M:%S}",
            format_duration(max(0.0, at - w.since)),
            w.why,
        )
        for w in listed
    ]
    asked = ("CPU ASKED", "MEMORY ASKED", *("GPUS ASKED",) * gpus)
    headers = ("POSITION", "RUN", "POOL", *asked, "SINCE", "WAITS", "WHY")
    return Table("Queue", headers, rows, "nobody waits")


def clusters(overview: Overview) -> Table:
    """Return the table of clusters, each with its lease."""
    rows = [
        (
            c.cluster,
            c.run,
            c.framework,
            c.phase.value,
            f"{c.workers_joined} of {c.workers_wanted}" if c.workers_wanted else "",
            f"{format_duration(c.lease.left_s)} of {format_duration(c.lease.duration_s)}",
            c.lease.renewer,
            c.owner,
        )
        for c in overview.clusters
    ]
    headers = ("CLUSTER", "RUN", "FRAMEWORK", "PHASE", "WORKERS", "LEASE LEFT", "RENEWED", "OWNER")
    return Table("Clusters and leases", headers, rows, "no cluster is held")


def others(found: Neighbours) -> Table:
    """Return the table of what others hold of this machine: not in our queue, yet in the way."""
    rows = [
        (
            f"{c.user} (another EBB_HOME)" if c.mine else c.user,
            str(c.clusters),
            _cpu(c.amount),
            _memory(c.amount),
        )
        for c in found.claims
    ]
    headers = ("USER", "CLUSTERS", "CPU", "MEMORY")
    return Table("Held by others", headers, rows, found.hidden or "nothing")


def tiers(states: Iterable[TierState]) -> Table:
    """Return the table of hardware tiers; a star marks the default. GPUs where a tier has some."""
    states = tuple(states)
    with_gpus = any(state.tier.resources.gpus for state in states)
    rows = [
        (
            state.tier.name + " *" * state.default,
            _cpu(state.tier.resources),
            _memory(state.tier.resources),
            *((_gpus(state.tier),) if with_gpus else ()),
            state.tier.pool + ", spot" * state.tier.spot,
            str(state.fit_now),
            f"{state.tier.price_per_hour:g}" if state.tier.price_per_hour else "",
            ", ".join(state.tier.frameworks) or "all",
        )
        for state in states
    ]
    rest = ("POOL", "FIT NOW", "PRICE/H", "FRAMEWORKS")
    return Table("Tiers", ("TIER", "CPU", "MEMORY", *("GPU",) * with_gpus, *rest), rows)


_AMOUNTS = ("CPU", "USED", "FREE", "MEMORY", "USED", "FREE")
_GPUS = ("GPUS", "USED", "FREE")
"""Beside these where a pool has some."""


def _count(state: PoolState) -> str:
    """How many nodes there are, and how many there may be, where that is not always the same."""
    pool, now = state.pool, str(len(state.nodes)) if state.listed else "?"
    if pool.platform == _HERE or pool.max_nodes is None:
        return now
    return f"{now} of {pool.min_nodes}..{pool.max_nodes}"


def _or_unknown(amount: Resources | None, text: Callable[[Resources], str]) -> str:
    return "?" if amount is None else text(amount)


def _gpus_asked(node: Node) -> Row:
    asked = "?" if node.requested is None else str(node.requested.gpus)
    return (str(node.capacity.gpus), asked, node.gpu_type)


def _others_of(node: Node) -> Row:
    """How many pods are not ours, how many of these are daemons, and what they ask for."""
    found = node.others
    if found is None:
        return ("?", "?")
    daemons = f", {found.daemons} of them daemons" if found.daemons else ""
    return (f"{found.count}{daemons}", str(found.requested) if found.count else "")


def _have_gpus(states: Iterable[PoolState]) -> bool:
    return any(state.pool.capacity.gpus for state in states)


def _amounts(*amounts: Resources, gpus: bool) -> Row:
    counts = [str(amount.gpus) for amount in amounts] if gpus else []
    return (*map(_cpu, amounts), *map(_memory, amounts), *counts)


def _cpu(amount: Resources) -> str:
    return format_cpu(amount.cpu_millis)


def _gpus(tier: HardwareTier) -> str:
    """How many, and of which type when it names one."""
    return f"{tier.resources.gpus or ''} {tier.gpu_type}".strip()


def _memory(amount: Resources) -> str:
    return format_memory(amount.memory_bytes)
