"""``ebb tiers``: what may be asked for, and how many of it fit now."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, print_table, say
from ebbtide.flows.cli.parsing.command import command
from ebbtide.flows.cli.parsing.shared import KUBERNETES, catalog_option, pool_option
from ebbtide.infra.lifecycle.inventory import TierState, gather
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.platforms.extras import catalog_on
from ebbtide.infra.presentation import tables
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Lists hardware tiers, and how many workers of each fit now. JSON: an object with
the keys source and tiers (a list of name, default, cpu, memory_bytes, gpus, gpu_type,
priority, spot, pool, fit_now, price_per_hour, frameworks)."""


@command("tiers", _DESCRIPTION, place=KUBERNETES)
@catalog_option
@pool_option
def main(options: Any) -> int:
    """List tiers."""
    catalog, _ = catalog_on(os.environ, Path.cwd(), {"platform": options.platform})
    overview = gather(load_settings(), catalog)
    states = (overview.of_pool(options.pool) if options.pool else overview).tiers
    if options.json:
        print_json({"source": catalog.source, "tiers": tier_facts(states)})
        return ExitCode.OK
    table = tables.tiers(states)
    print_table(table.headers, table.rows)
    say(f"* the default; from {catalog.source}")
    return ExitCode.OK


def tier_facts(states: Iterable[TierState]) -> list[dict[str, Any]]:
    """Return the tiers as data: CPU in cores, memory in bytes."""
    return [
        {
            "name": state.tier.name,
            "default": state.default,
            "cpu": state.tier.resources.cpu_millis / 1000,
            "memory_bytes": state.tier.resources.memory_bytes,
            "gpus": state.tier.resources.gpus,
            "gpu_type": state.tier.gpu_type,
            "priority": state.tier.priority,
            "spot": state.tier.spot,
            "pool": state.tier.pool,
            "fit_now": state.fit_now,
            "price_per_hour": state.tier.price_per_hour,
            "frameworks": list(state.tier.frameworks),
        }
        for state in states
    ]
