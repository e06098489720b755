"""``ebb tiers``: what may be asked for, and how many of it fit now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flows.asking import catalog_for
from flows.cli.output import Parser, print_json, print_table, say
from infra.catalog import Catalog
from infra.ledger import Ledger
from infra.models.hardware import HardwareTier
from infra.models.phases import ExitCode
from infra.models.resources import format_cpu, format_memory
from infra.platforms.local.pool import free_room
from infra.settings import load_settings

_DESCRIPTION = """Hardware tiers, and how many workers of each fit now. JSON: an object with the
keys source and tiers (a list of name, default, cpu, memory_bytes, pool, fit_now, price_per_hour,
frameworks)."""


def main(args: list[str]) -> int:
    """List tiers."""
    options = Parser("tiers", _DESCRIPTION).take(args)
    catalog, _ = catalog_for(os.environ, Path.cwd())
    ledger = Ledger(load_settings().home)
    facts = [_fact(catalog, tier, ledger) for tier in catalog.tiers]
    if options.json:
        print_json({"source": catalog.source, "tiers": facts})
        return ExitCode.OK
    rows = [
        (
            fact["name"] + " *" * fact["default"],
            format_cpu(round(fact["cpu"] * 1000)),
            format_memory(fact["memory_bytes"]),
            fact["pool"],
            str(fact["fit_now"]),
            f"{fact['price_per_hour']:g}" if fact["price_per_hour"] else "",
            ", ".join(fact["frameworks"]) or "all",
        )
        for fact in facts
    ]
    print_table(("TIER", "CPU", "MEMORY", "POOL", "FIT NOW", "PRICE/H", "FRAMEWORKS"), rows)
    say(f"* the default; from {catalog.source}")
    return ExitCode.OK


def _fact(catalog: Catalog, tier: HardwareTier, ledger: Ledger) -> dict[str, Any]:
    room = free_room(ledger, catalog.pool(tier.pool))
    ask = tier.resources
    fit = min(room.cpu_millis // ask.cpu_millis, room.memory_bytes // ask.memory_bytes)
    return {
        "name": tier.name,
        "default": tier.name == catalog.default_tier,
        "cpu": ask.cpu_millis / 1000,
        "memory_bytes": ask.memory_bytes,
        "pool": tier.pool,
        "fit_now": max(0, fit),
        "price_per_hour": tier.price_per_hour,
        "frameworks": list(tier.frameworks),
    }
