"""``ebb metrics``: what there is now, for Prometheus."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import command
from ebbtide.flows.cli.parsing.shared import KUBERNETES, catalog_option
from ebbtide.infra.lifecycle.inventory import gather
from ebbtide.infra.lifecycle.reaper import unowned
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.platforms.extras import catalog_of_all
from ebbtide.infra.presentation.metrics import as_data, as_text, count
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Prints runs, queues, clusters, workers and pools as metrics in the text format of
Prometheus, as they are now: for the textfile collector of its node exporter, by a timer. JSON: a
list of objects with the keys name, labels, value."""


@command("metrics", _DESCRIPTION, place=KUBERNETES)
@catalog_option
def main(options: Any) -> int:
    """Print the metrics."""
    settings = load_settings()
    catalog = catalog_of_all(os.environ, Path.cwd(), {"platform": options.platform})
    overview = gather(settings, catalog)
    store = open_to_look(settings)
    for why in overview.not_shown:
        say(f"! {why}")
    counted = count(overview, store.runs(), len(unowned(settings, store)))
    if options.json:
        print_json(as_data(counted))
    else:
        print(as_text(counted), end="")
    return ExitCode.OK
