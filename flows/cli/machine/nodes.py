"""``ebb nodes``: pools and nodes, what runs where, who waits, which clusters are held, tiers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.machine.tiers import tier_facts
from ebbtide.flows.cli.output import print_json, print_table, say, wait_for_change
from ebbtide.flows.cli.parsing.command import command
from ebbtide.flows.cli.parsing.shared import KUBERNETES, catalog_option, pool_option, watch_option
from ebbtide.infra.lifecycle.inventory import ClusterState, Overview, PoolState, gather
from ebbtide.infra.models.hardware import Node, OtherPods
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.extras import catalog_of_all
from ebbtide.infra.presentation.tables import tables
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Shows the infrastructure as it is now: pools and nodes, used and free; what runs
where; the queue; clusters and their leases; what other users' clusters hold; tiers. USED is what
runs hold, REQUESTED what all pods on a node ask for, LOAD what the metrics API has measured. JSON:
an object with the keys at, source, pools (each with its nodes), shares, queue, clusters, others,
others_hidden, tiers, not_shown; CPU in cores, memory in bytes, times in seconds; null is what is
not known."""


@command("nodes", _DESCRIPTION, place=KUBERNETES)
@catalog_option
@pool_option
@watch_option
def main(options: Any) -> int:
    """Show the infrastructure."""
    settings = load_settings()
    store = open_store(settings)
    while True:
        catalog = catalog_of_all(os.environ, Path.cwd(), {"platform": options.platform})
        overview = gather(settings, catalog)
        overview = overview.of_pool(options.pool) if options.pool else overview
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
    for sentence in overview.not_shown:
        say(f"! not shown: {sentence}")
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
                "why": w.why,
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
        "not_shown": list(overview.not_shown),
    }


def _pool(state: PoolState) -> dict[str, Any]:
    return {
        "name": state.pool.name,
        "platform": state.pool.platform,
        "min_nodes": state.pool.min_nodes,
        "max_nodes": state.pool.max_nodes,
        "capacity": _amount(state.pool.capacity),
        "used": _amount(state.used),
        "free": _amount(state.free),
        "nodes_listed": state.listed,
        "nodes": [_node(node) for node in state.nodes],
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "ready": node.ready if node.seen else None,
        "instance_type": node.instance_type or None,
        "gpu_type": node.gpu_type or None,
        "capacity": _amount(node.capacity),
        "used": _amount(node.used),
        "free": _amount(node.free),
        "requested": None if node.requested is None else _amount(node.requested),
        "load": None if node.load is None else _load(node.load),
        "other_pods": None if node.others is None else _others(node.others),
    }


def _others(found: OtherPods) -> dict[str, Any]:
    return {"count": found.count, "daemons": found.daemons, **_amount(found.requested)}


def _load(amount: Resources) -> dict[str, Any]:
    """Of GPUs nobody measures it."""
    return {"cpu": amount.cpu_millis / 1000, "memory_bytes": amount.memory_bytes}


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
    sizes = {"cpu": amount.cpu_millis / 1000, "memory_bytes": amount.memory_bytes}
    return {**sizes, "gpus": amount.gpus}
