"""``ebb stop``: end a run from any terminal and wait until nothing of it is held."""

from __future__ import annotations

from typing import Any

from ebbtide.flows.cli.output import held_text, known_run, print_json, say
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, run_argument
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import wait_until

_DESCRIPTION = """Ends a run and releases what it holds. A run that has ended already is not an
error. JSON: an object with the keys run, stopped, held."""
_TIMEOUT_S = 30.0


@command("stop", _DESCRIPTION, Preparation(changes=True), place=KUBERNETES)
@run_argument(help="the name of a run: ebb ps -a lists them")
@option("--now", is_flag=True, help="give the program no time to end by itself")
def main(options: Any) -> int:
    """Stop a run."""
    settings = load_settings()
    store = open_store(settings)
    run = known_run(store, options.run)
    stopped = stop_run(settings, options.run, Reason.CANCELLED, at_once=options.now)
    platform = load_platform(run.spec.platform, settings)
    clusters = platform.clusters(options.run)

    def released() -> bool:
        for cluster in clusters:
            platform.reap(cluster)  # a supervisor that hangs is not waited for
        return all(held.stays for cluster in clusters for held in platform.held(cluster))

    wait_until(released, timeout_s=_TIMEOUT_S)
    held = [held_text(each) for cluster in clusters for each in platform.held(cluster)]
    if options.json:
        print_json({"run": options.run, "stopped": stopped, "held": held})
    else:
        say(f"  {options.run} {'is stopped' if stopped else 'had ended already'}")
        say(f"  Held now: {', '.join(held) or 'nothing'}")
    return ExitCode.TEMPORARY if held else ExitCode.OK
