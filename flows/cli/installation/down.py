"""``ebb down``: end what ``ebb up`` started, and say that nothing is left."""

from __future__ import annotations

from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import command
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.flows.service import stack
from ebbtide.infra.errors import ReleaseError
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.base import load_platforms
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import wait_until

_DESCRIPTION = """Ends the worker, reaper and server of `ebb up`. Runs of its work pool that are
going on are cancelled first; scheduled runs start at the next `ebb up`. What Prefect has still to
be told of runs that have ended is waited for, up to 10 s. JSON: an object with the keys was_up,
held."""
_TIMEOUT_S = 120.0
_RECORDS_TIMEOUT_S = 10.0
"""For flow processes whose run has ended to tell the server about it, before that goes."""


@command("down", _DESCRIPTION, Preparation(changes=True))
def main(options: Any) -> int:
    """Take it down."""
    settings = load_settings()
    info = stack.running(settings)
    if info is not None:
        ledger = open_store(settings).local
        wait_until(lambda: not reaper.being_recorded(ledger), timeout_s=_RECORDS_TIMEOUT_S)
    if info is not None and not stack.end(settings, info, timeout_s=_TIMEOUT_S):
        raise ReleaseError(
            Reason.RELEASE_INCOMPLETE,
            detail=f"the manager (pid {info.pid}) still lives",
            hint=f"see {stack.log_of(settings)}",
        )
    ours = set(open_store(settings).clusters_of())
    alive = [item for platform in load_platforms(settings) for item in platform.held()]
    held = [item for item in alive if item.cluster in ours]
    if options.json:
        print_json({"was_up": info is not None, "held": len(held)})
        return ExitCode.OK
    say("  ✓ down" if info is not None else "  it is not up")
    say(f"  Held now: {f'{len(held)} processes and folders; ebb held' if held else 'nothing'}")
    return ExitCode.OK
