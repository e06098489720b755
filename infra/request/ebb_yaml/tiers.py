"""The hardware tiers that ``ebb.yaml`` names, and those made from a pool where it names none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.resources import Resources, parse_cpu, parse_duration_s, parse_memory
from ebbtide.infra.request.ebb_yaml.file import File
from ebbtide.infra.request.ebb_yaml.keys import TIER
from ebbtide.infra.request.ebb_yaml.pools import count, label_value, parse_gpus
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.request.option_values import parse_priority, parse_switch

_MIB = 2**20
_OF_PODS = {
    "gpu-type": "a label of nodes",
    "priority": "a PriorityClass",
    "spot": "a kind of node",
}
"""Keys of tiers of platform kubernetes alone, and what they are."""
_BESIDE_DRAIN_S = 35.0
"""Of a spot node's notice, half at most: a worker needs it beyond its drain budget to leave."""
_DERIVED = {"small": (8, 1000), "medium": (4, 2000), "large": (2, 8000)}
"""By tier: the divisor of the pool's cores, and the maximum in thousandths of a core."""


def derive_tiers(pool: NodePool) -> tuple[HardwareTier, ...]:
    """Return small, medium and large shares of a pool, for when the file names no tier."""
    return tuple(
        HardwareTier(name=name, pool=pool.name, resources=_share(pool.capacity, part, max_millis))
        for name, (part, max_millis) in _DERIVED.items()
    )


def read_tiers(file: File, value: Any, pools: tuple[NodePool, ...]) -> tuple[HardwareTier, ...]:
    """Read the tiers; those of a local pool when none is named.

    Args:
        file: that is read.
        value: of its key ``tiers``.
        pools: of the same file.

    Returns:
        The tiers; what is wrong with them is in ``file``.
    """
    written = file.mapping("tiers", value)
    if written:
        return tuple(_tier(file, name, body, pools) for name, body in written.items())
    local = next((pool for pool in pools if pool.platform == "local"), None)
    return derive_tiers(local) if local else ()


def _tier(file: File, name: str, body: Any, pools: tuple[NodePool, ...]) -> HardwareTier:
    where = f"tiers.{name}"
    keys = file.mapping(where, body, TIER)
    cpu = file.needed(f"{where}.cpu", keys.get("cpu"), parse_cpu, "cpu: 1")
    memory = file.needed(f"{where}.memory", keys.get("memory"), parse_memory, "memory: 4Gi")
    gpus = file.parsed(f"{where}.gpus", keys.get("gpus"), parse_gpus, 0)
    pool = _pool_of(file, f"{where}.pool", keys.get("pool"), [pool.name for pool in pools])
    gpu_type = file.parsed(f"{where}.gpu-type", keys.get("gpu-type"), label_value, "")
    priority = file.parsed(f"{where}.priority", keys.get("priority"), parse_priority, "")
    if any(each.name == pool and each.platform == "local" for each in pools):
        for key, what in _OF_PODS.items():
            if key in keys:
                text = f"only a tier of platform kubernetes has it: it is {what}"
                file.add(f"{where}.{key}", text, "leave it out")
    if gpu_type and not gpus:
        file.add(f"{where}.gpu-type", "the tier asks for no GPU", "write gpus: 1 beside it")
    notice_s = _notice_s(file, where, keys, next((p for p in pools if p.name == pool), None))
    return HardwareTier(
        name=name,
        pool=pool,
        resources=Resources(cpu, memory, gpus),
        notice_s=notice_s,
        gpu_type=gpu_type,
        price_per_hour=file.parsed(
            f"{where}.price-per-hour", keys.get("price-per-hour"), _price, 0.0
        ),
        frameworks=file.strings(f"{where}.frameworks", keys.get("frameworks"), "[dask]"),
        drain_budget_s=_drain_budget_s(file, where, keys, notice_s),
        priority=priority,
        runs_at_once=file.parsed(f"{where}.runs-at-once", keys.get("runs-at-once"), count, None),
    )


def _notice_s(
    file: File, where: str, keys: Mapping[str, Any], pool: NodePool | None
) -> float | None:
    """How long before one of its nodes is taken away that is said; None: they stay."""
    place = f"{where}.spot"
    spot = file.parsed(place, keys.get("spot"), parse_switch, pool is not None and pool.spot)
    if not spot or pool is None:
        if pool is not None and pool.spot:
            file.add(place, f"all nodes of pool {pool.name} are spot", "leave it out")
        return None
    if pool.platform != "local" and not pool.spot and not pool.spot_label:
        hint = "write spot-label: karpenter.sh/capacity-type=spot there, or spot: true for all"
        file.add(place, f"pool {pool.name} does not say which of its nodes are spot", hint)
    return pool.spot_notice_s


def _drain_budget_s(
    file: File, where: str, keys: Mapping[str, Any], notice_s: float | None
) -> float:
    """How long a leaving worker may take; of a spot node no longer than its notice lets it."""
    asked_s = file.parsed(
        f"{where}.drain-budget", keys.get("drain-budget"), parse_duration_s, 600.0
    )
    if notice_s is None:
        return float(asked_s)
    return float(min(asked_s, notice_s - min(_BESIDE_DRAIN_S, notice_s / 2)))


def _pool_of(file: File, where: str, value: Any, names: list[str]) -> str:
    """Return the named pool, or the only one there is."""
    listed = f"pools: {', '.join(names)}"
    if not names:
        return ""
    if value is None and len(names) > 1:
        file.add(where, "it is missing, and there are several pools", listed)
    elif value is not None and str(value) not in names:
        hint = did_you_mean(str(value), names, otherwise=listed)
        file.add(where, f"no pool is named {value!s}", hint)
    return str(value) if value is not None else names[0]


def read_default(
    file: File,
    top: Mapping[str, Any],
    key: str,
    tiers: tuple[HardwareTier, ...],
    *,
    otherwise: str = "",
) -> str:
    """Return the tier the key names; without it small, or ``otherwise``, or the first.

    Args:
        file: that is read.
        top: its keys.
        key: that names a tier.
        tiers: of the same file.
        otherwise: the name when the key is not there and no tier is called small.

    Returns:
        The name; empty when there are no tiers.
    """
    names = [tier.name for tier in tiers]
    asked = top.get(key)
    if asked is None:
        return "small" if "small" in names else otherwise or next(iter(names), "")
    if str(asked) not in names:
        hint = did_you_mean(str(asked), names, otherwise=f"tiers: {', '.join(names)}")
        file.add(key, f"no tier is named {asked!s}", hint)
    return str(asked)


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < math.inf:
        raise ValueError(f"{text!r} is not a price; write a number like 0.25") from None
    return price


def _share(whole: Resources, part: int, max_millis: int) -> Resources:
    """Return a part of a pool: cores in steps of 50m, memory in proportion in steps of 64Mi."""
    cpu = min(whole.cpu_millis // part, max_millis) // 50 * 50
    cpu = max(cpu, min(50, whole.cpu_millis))
    step = 64 * _MIB
    memory = whole.memory_bytes * cpu // whole.cpu_millis // step * step
    return Resources(cpu, max(memory, min(256 * _MIB, whole.memory_bytes)))
