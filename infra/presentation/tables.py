"""The infrastructure as tables of text: one content for the terminal and for Prefect's page.

Imports no rich: how a table is drawn is its reader's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from ebbtide.infra.lifecycle.inventory import Overview, PoolState, TierState, Waiting
from ebbtide.infra.models.records import Share
from ebbtide.infra.models.resources import Resources, format_cpu, format_duration, format_memory
from ebbtide.infra.platforms.local.neighbours import HIDDEN, Neighbours

Row = tuple[str, ...]


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
    rows = [
        (
            state.pool.name,
            state.pool.platform,
            str(len(state.nodes)),
            *_amounts(state.pool.capacity, state.used, state.free),
        )
        for state in states
    ]
    return Table("Pools", ("POOL", "PLATFORM", "NODES", *_AMOUNTS), rows)


def nodes(states: Iterable[PoolState]) -> Table:
    """Return the table of the machines of all pools."""
    rows = [
        (
            node.name,
            state.pool.name,
            "Ready" if node.ready else "NotReady",
            *_amounts(node.capacity, node.used, node.free),
        )
        for state in states
        for node in state.nodes
    ]
    return Table("Nodes", ("NODE", "POOL", "STATUS", *_AMOUNTS), rows, "no pool has a node now")


def shares(found: Iterable[Share]) -> Table:
    """Return the table of what runs where."""
    rows = [
        (s.run, s.cluster, s.owner, s.pool, s.node, _cpu(s.amount), _memory(s.amount))
        for s in found
    ]
    headers = ("RUN", "CLUSTER", "WHAT", "POOL", "NODE", "CPU", "MEMORY")
    return Table("What runs where", headers, rows, "nothing runs")


def queue(found: Iterable[Waiting], at: float) -> Table:
    """Return the table of the runs that wait for room, since when and for how much."""
    rows = [
        (
            str(w.position),
            w.run,
            w.pool,
            _cpu(w.asked),
            _memory(w.asked),
            f"{datetime.fromtimestamp(w.since).astimezone():%H:%M:%S}",
            format_duration(max(0.0, at - w.since)),
        )
        for w in found
    ]
    headers = ("POSITION", "RUN", "POOL", "CPU ASKED", "MEMORY ASKED", "SINCE", "WAITS")
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
    return Table("Held by others", headers, rows, HIDDEN if found.hidden else "nothing")


def tiers(states: Iterable[TierState]) -> Table:
    """Return the table of hardware tiers; a star marks the default."""
    rows = [
        (
            state.tier.name + " *" * state.default,
            _cpu(state.tier.resources),
            _memory(state.tier.resources),
            state.tier.pool,
            str(state.fit_now),
            f"{state.tier.price_per_hour:g}" if state.tier.price_per_hour else "",
            ", ".join(state.tier.frameworks) or "all",
        )
        for state in states
    ]
    headers = ("TIER", "CPU", "MEMORY", "POOL", "FIT NOW", "PRICE/H", "FRAMEWORKS")
    return Table("Tiers", headers, rows)


_AMOUNTS = ("CPU", "USED", "FREE", "MEMORY", "USED", "FREE")


def _amounts(*amounts: Resources) -> Row:
    return (*map(_cpu, amounts), *map(_memory, amounts))


def _cpu(amount: Resources) -> str:
    return format_cpu(amount.cpu_millis)


def _memory(amount: Resources) -> str:
    return format_memory(amount.memory_bytes)
