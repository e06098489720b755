"""``ebb nodes``: pools and nodes, what runs where, who waits, which clusters are held, tiers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.arguments import add_place, add_platform
from ebbtide.flows.cli.machine.tiers import tier_facts
from ebbtide.flows.cli.output import Parser, print_json, print_table, say, wait_for_change
from ebbtide.infra.lifecycle.inventory import ClusterState, Overview, PoolState, gather
from ebbtide.infra.models.hardware import Node
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.extras import catalog_of_all
from ebbtide.infra.presentation.tables import tables
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Shows the infrastructure as it is now: pools and nodes, used and free; what runs
where; the queue; clusters and their leases; what other users' clusters hold; tiers. JSON: an object
with the keys at, source, pools (each with its nodes), shares, queue, clusters, others,
others_hidden, tiers; CPU in cores, memory in bytes, times in seconds."""


def main(args: list[str]) -> int:
    """Show the infrastructure."""
    parser = Parser("nodes", _DESCRIPTION)
    add_place(parser)
    add_platform(parser)
    parser.add_argument(
        "-w", "--watch", action="store_true", help="print again whenever something changes"
    )
    options = parser.take(args)
    settings = load_settings()
    store = open_store(settings)
    while True:
        catalog = catalog_of_all(os.environ, Path.cwd(), {"platform": options.platform})
        overview = gather(settings, catalog)
        if options.json:
            print_json(_document(overview))
        else:
            _show(overview)
        if not options.watch:
            return ExitCode.OK
        wait_for_change(store)


def _show(overview: Overview) -> None:
    """A table for each subject that has something to show, a blank line between them."""
    full = [table for table in tables(overview) if table.rows]
    for number, table in enumerate(full):
        print("\n" * bool(number), end="")
        print_table(table.headers, table.rows)
    if not overview.clusters:
        say("nothing runs and nobody waits; a first look: ebb run hello")
    if overview.neighbours.hidden:
        say(overview.neighbours.hidden)
    say(f"* the default; from {overview.source}")


def _document(overview: Overview) -> dict[str, Any]:
    return {
        "at": overview.at,
        "source": overview.source,
        "pools": [_pool(state) for state in overview.pools],
        "shares": [
            {
                "run": s.run,
                "cluster": s.cluster,
                "owner": s.owner,
                "pool": s.pool,
                "node": s.node,
                **_amount(s.amount),
            }
            for s in overview.shares
        ],
        "queue": [
            {
                "run": w.run,
                "cluster": w.cluster,
                "pool": w.pool,
                "position": w.position,
                "asked": _amount(w.asked),
                "since": w.since,
                "waits_s": round(max(0.0, overview.at - w.since), 1),
            }
            for w in overview.queue
        ],
        "clusters": [_cluster(state) for state in overview.clusters],
        "others": [
            {"user": c.user, "mine": c.mine, "clusters": c.clusters, **_amount(c.amount)}
            for c in overview.neighbours.claims
        ],
        "others_hidden": bool(overview.neighbours.hidden),
        "tiers": tier_facts(overview.tiers),
    }


def _pool(state: PoolState) -> dict[str, Any]:
    return {
        "name": state.pool.name,
        "platform": state.pool.platform,
        "capacity": _amount(state.pool.capacity),
        "used": _amount(state.used),
        "free": _amount(state.free),
        "nodes": [_node(node) for node in state.nodes],
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "ready": node.ready,
        "capacity": _amount(node.capacity),
        "used": _amount(node.used),
        "free": _amount(node.free),
    }


def _cluster(state: ClusterState) -> dict[str, Any]:
    return {
        "cluster": state.cluster,
        "run": state.run,
        "pool": state.pool,
        "framework": state.framework,
        "phase": state.phase.value,
        "workers_joined": state.workers_joined,
        "workers_wanted": state.workers_wanted,
        "lease_s": state.lease.duration_s,
        "lease_left_s": round(state.lease.left_s, 1),
        "renewed_by": state.lease.renewed_by,
        "owner": state.owner,
    }


def _amount(amount: Resources) -> dict[str, Any]:
    return {"cpu": amount.cpu_millis / 1000, "memory_bytes": amount.memory_bytes}
