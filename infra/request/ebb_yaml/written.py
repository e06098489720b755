"""An ``ebb.yaml`` to begin with: what there is, and behind a comment sign what else may be said."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from ebbtide.infra.models.hardware import POOL_LABEL, HardwareTier, NodePool
from ebbtide.infra.models.resources import Resources, format_cpu
from ebbtide.infra.request.ebb_yaml.keys import NODES, POOL, TIER, TOP
from ebbtide.infra.request.ebb_yaml.pools import LOCAL
from ebbtide.infra.request.ebb_yaml.schema import MODELINE
from ebbtide.infra.request.ebb_yaml.tiers import derive_tiers
from ebbtide.infra.request.options import OPTIONS

_GIB, _MIB = 2**30, 2**20
_OF_ANY_POOL = {"runs-per-owner": "2", "runs-waiting": "20"}
_OF_NODES = {
    "image": "registry.example/ebb-{framework}:1",
    "warm": "1",
    "node-within": "20m",
    "pull-within": "10m",
}
_OF_TIER = {
    "price-per-hour": "0.05",
    "frameworks": "[dask, ray]",
    "runs-at-once": "2",
    "drain-budget": "10m",
}
_OF_RUN = {"workers": "1..4", "time-limit": "2h", "idle-release": "10m"}
"""Examples of keys that may be added, of which each is shown once."""
_COMMENT_AT = 40
"""Column of a comment behind a key."""


def tiers_of(pools: Sequence[NodePool]) -> tuple[HardwareTier, ...]:
    """Return tiers for pools that have none: shares of one node, or of this machine.

    A pool whose nodes have GPUs gets one more, with one of them.
    """
    found: list[HardwareTier] = []
    for pool in pools:
        whole = pool.node or pool.capacity
        shares = derive_tiers(replace(pool, capacity=whole))
        if whole.gpus:
            half = shares[-1].resources
            shares += (replace(shares[-1], name="gpu", resources=replace(half, gpus=1)),)
        prefix = f"{pool.name}-" if len(pools) > 1 else ""
        found += [replace(share, name=f"{prefix}{share.name}") for share in shares]
    return tuple(found)


def file_text(pools: Sequence[NodePool], origin: str) -> str:
    """Return the text of a file for these pools, with tiers for them.

    Args:
        pools: one at least.
        origin: where they were seen, for the first line.

    Returns:
        YAML, which says the same when its comments are taken out.
    """
    tiers = tiers_of(pools)
    lines = [
        MODELINE,
        f"# Written by ebb init from {origin}. What is left out has a default; all that is in",
        "# force, and where it comes from: ebb config show. All keys: docs/configuration.md.",
        "",
        _line("", "pools", "", TOP["pools"]),
    ]
    for number, pool in enumerate(pools):
        told = {} if number else POOL | NODES
        lines += _body(pool.name, _of_pool(pool), told, _examples(pool, number))
    if any(pool.node is not None for pool in pools):
        lines.append("  # A pool that has no node now was not seen: write it here like the others.")
    lines += ["", _line("", "tiers", "", TOP["tiers"])]
    for number, tier in enumerate(tiers):
        told, examples = ({}, {}) if number else (TIER, _OF_TIER)
        lines += _body(tier.name, _of_tier(tier), told, examples)
    lines += ["", _line("", "default-tier", _text(tiers[0].name), TOP["default-tier"])]
    lines += [
        _line("", "# keep", "[30d, 1000 runs]", TOP["keep"]),
        _line("", "# run", "", TOP["run"]),
    ]
    lines += [_line("", f"#   {key}", text, OPTIONS[key].help) for key, text in _OF_RUN.items()]
    return "\n".join(lines) + "\n"


def _examples(pool: NodePool, number: int) -> Mapping[str, str]:
    if number:
        return {}
    return _OF_ANY_POOL if pool.platform == LOCAL else {**_OF_ANY_POOL, **_OF_NODES}


def _body(
    name: str, keys: Mapping[str, str], told: Mapping[str, str], more: Mapping[str, str]
) -> Iterator[str]:
    """The lines of one pool or tier; what its keys say stands at the first one only."""
    yield f"  {_text(name)}:"
    for key, value in keys.items():
        yield _line("    ", key, value, told.get(key, ""))
    for key, value in more.items():
        yield _line("    ", f"# {key}", value, told[key])


def _of_pool(pool: NodePool) -> dict[str, str]:
    if pool.node is None:
        return {"platform": pool.platform, **_amounts(pool.capacity)}
    found = {"platform": pool.platform, "nodes": f"0..{pool.max_nodes}"}
    found |= {f"node-{key}": text for key, text in _amounts(pool.node).items()}
    if pool.label != POOL_LABEL:
        found["label"] = pool.label
    if pool.taints:
        found["taints"] = _list(map(str, pool.taints))
    return found


def _of_tier(tier: HardwareTier) -> dict[str, str]:
    return {**_amounts(tier.resources), "pool": _text(tier.pool)}


def _amounts(resources: Resources) -> dict[str, str]:
    whole, rest = divmod(resources.memory_bytes, _GIB)
    memory = f"{resources.memory_bytes // _MIB}Mi" if rest else f"{whole}Gi"
    gpus = {"gpus": str(resources.gpus)} if resources.gpus else {}
    return {"cpu": format_cpu(resources.cpu_millis), "memory": memory, **gpus}


def _line(indent: str, key: str, value: str, told: str) -> str:
    left = f"{indent}{key}: {value}".rstrip()
    return f"{left:<{_COMMENT_AT}} # {told}" if told else left


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def _text(text: str) -> str:
    """A name, in quotes where YAML would read something else."""
    plain = text.replace("-", "").replace("_", "").isalnum() and not text[0].isdigit()
    return text if plain and text[0] != "-" else json.dumps(text)
