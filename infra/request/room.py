"""Whether what a run asks for can ever fit its pool, and what would fit instead.

Does not belong here: whether there is room at the moment (admission).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.cluster import ClusterSpec, MemberAsk
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources, format_cpu, format_gpus, format_memory
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.request.ebb_yaml.pools import LOCAL


def check_room(catalog: Catalog, cluster: ClusterSpec) -> list[Problem]:
    """Check that head, program and the minimum of workers fit the empty pool, each one node.

    Args:
        catalog: with the tiers that could be asked for instead.
        cluster: as it is asked for.

    Returns:
        What does not fit, with what would; nothing when all does.
    """
    pool = cluster.pool
    if pool.node and (wrong := _check_node(catalog, cluster, pool.node)):
        return wrong
    if cluster.first_ask.fits_in(pool.capacity):
        return []
    for ask in cluster.member_asks:
        if not ask.amount.fits_in(pool.capacity):
            hint = _largest_beside(catalog, cluster, ask.flag)
            who = f"{'head tier ' if ask.role == 'head' else ''}{ask.tier.name}"
            return [_too_large(who, ask, pool, hint)]
    tier, head, min_workers = cluster.tier, cluster.head_tier, cluster.policy.min_workers
    program = ", a program as large" if pool.driver_apart else ""
    workers = f"{min_workers} {tier.name} worker{'s' if min_workers > 1 else ''}"
    hints = (_largest_beside(catalog, cluster, "--tier"), _fewer(cluster))
    hint = ", or ".join(filter(None, hints)) or "the pool needs more room"
    who = f"a {head.name} head{program} and {workers} ask"
    return [_exceeds(who, cluster.first_ask, pool, hint)]


def _check_node(catalog: Catalog, cluster: ClusterSpec, node: Resources) -> list[Problem]:
    """Check that each member fits a node: none is ever larger, however many there are."""
    ask = next((each for each in cluster.member_asks if not each.amount.fits_in(node)), None)
    if ask is None:
        return []

    def fits(tier: HardwareTier) -> bool:
        return (tier.resources + ask.beside).fits_in(node)

    hint = _largest(catalog, cluster, ask.flag, fits)
    who = f"{'head tier' if ask.role == 'head' else 'tier'} {ask.tier.name}"
    return [_too_large(who, ask, cluster.pool, hint or "the pool needs larger nodes", node)]


def _too_large(
    who: str, ask: MemberAsk, pool: NodePool, hint: str, a_node: Resources | None = None
) -> Problem:
    """Say that one member does not fit, alone or with what its pod asks for beside its tier."""
    asked, room = ask.tier.resources, a_node or pool.capacity
    if not asked.fits_in(room):
        return _exceeds(f"{who} asks", asked, pool, hint, a_node=a_node)
    where = f"a node of pool {pool.name}" if a_node else f"pool {pool.name}"
    summary = f"{who} asks {asked}, and its pod {ask.beside} more; {where} has {room}"
    return Problem(Reason.TIER_EXCEEDS_POOL, summary, hint)


def _exceeds(
    who: str, asked: Resources, pool: NodePool, hint: str, *, a_node: Resources | None = None
) -> Problem:
    """Make a problem that names only the amounts that do not fit."""
    room = a_node or pool.capacity
    pairs = list(zip(_amounts(asked), _amounts(room), strict=True))
    short = [(need[1], has[1]) for need, has in pairs if need[0] > has[0]]
    need, has = (", ".join(texts) for texts in zip(*short, strict=True))
    where = f"a node of pool {pool.name}" if a_node else f"pool {pool.name}"
    summary = f"{who} {need}; {where} has {has}"
    if asked.gpus and not room.gpus:
        summary += f" ({pool.no_gpus})" if pool.no_gpus else ""
        hint = _without_gpus(pool)
    return Problem(Reason.TIER_EXCEEDS_POOL, summary, hint)


def _amounts(amount: Resources) -> list[tuple[int, str]]:
    """Each of its amounts, as a number and in words."""
    return [
        (amount.cpu_millis, f"{format_cpu(amount.cpu_millis)} CPU"),
        (amount.memory_bytes, format_memory(amount.memory_bytes)),
        (amount.gpus, format_gpus(amount.gpus)),
    ]


def _without_gpus(pool: NodePool) -> str:
    """Tell what to do about a pool that has no GPU at all."""
    if pool.platform == LOCAL:
        return "take another tier (ebb tiers), or --platform kubernetes where its nodes have GPUs"
    return (
        f"write node-gpus: 1 (and nodes) for pool {pool.name} where its nodes have GPUs,"
        " or take a tier of another pool (ebb tiers)"
    )


def _largest_beside(catalog: Catalog, cluster: ClusterSpec, flag: str) -> str:
    """Name the largest tier with which all fits the pool, all else as asked."""

    def fits(tier: HardwareTier) -> bool:
        if flag == "--tier":
            changed = replace(cluster, tier=tier)
        else:
            changed = replace(cluster, head_tier=tier)
        return changed.first_ask.fits_in(cluster.pool.capacity)

    return _largest(catalog, cluster, flag, fits)


def _largest(
    catalog: Catalog, cluster: ClusterSpec, flag: str, fits: Callable[[HardwareTier], bool]
) -> str:
    """Name the largest of the tiers that this cluster could ask for; empty when none fits."""
    fitting = [
        tier
        for tier in catalog.tiers
        if tier.pool == cluster.pool.name and tier.allows(cluster.framework) and fits(tier)
    ]
    if not fitting:
        return ""
    best = max(fitting, key=lambda tier: tier.resources)
    return f"{flag} {best.name} ({best.resources}) is the largest that fits"


def _fewer(cluster: ClusterSpec) -> str:
    """Name how many workers of this tier would fit beside head and program."""
    room, one = cluster.pool.capacity - cluster.first_ask_beside_workers, cluster.tier.resources
    count = one.how_often_in(room)
    return f"--workers {count} at most" if count > 0 else ""
