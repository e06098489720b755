"""``ebb up``: Prefect's server and worker, and all deployments, on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from flows.cli.output import Parser, print_json, say
from flows.stack import stack
from flows.stack.stack import StackInfo
from infra.errors import ProvisioningError
from infra.models.phases import ExitCode, Reason
from infra.settings import Settings, load_settings
from infra.waiting import now_s, pause

_DESCRIPTION = """Starts what scheduled, event-triggered and ad-hoc runs need: a Prefect server
(the one PREFECT_API_URL names, when it is set), a work pool, a Prefect worker, everything in
deployments.yaml, and the reaper. It goes on when the terminal is closed; `ebb down` ends it.
Programs are looked for in the folder where it was typed. JSON: an object with the keys ready,
ui_url, pool, limit, folder, done."""
_TIMEOUT_S = 600.0
_LOOK_EVERY_S = 0.1


def main(args: list[str]) -> int:
    """Bring it up and say where it is."""
    parser = Parser("up", _DESCRIPTION)
    parser.add_argument(
        "--limit", type=int, default=4, help="runs that execute at once (default 4)"
    )
    options = parser.take(args)
    settings = load_settings()
    info = stack.running(settings)
    if info is None:
        info = stack.start(settings, Path.cwd(), limit=options.limit, environ=os.environ)
        info = _follow(settings, quiet=options.json)
    elif not options.json:
        say(f"  it is up already, from {info.folder}")
    if options.json:
        keys = ("ready", "ui_url", "pool", "limit", "folder", "done")
        print_json({key: getattr(info, key) for key in keys})
    else:
        _show(info)
    return ExitCode.OK


def _follow(settings: Settings, *, quiet: bool) -> StackInfo:
    """Tick off its parts until it is ready.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE, with why it gave up.
    """
    began_s = last_s = now_s()
    shown: set[str] = set()
    while now_s() - began_s < _TIMEOUT_S:
        info = stack.last(settings)
        for part, words in info.done.items() if info else ():
            if part not in shown and not quiet:
                say(f"  ✓ {part:<15} {words:<54} {now_s() - last_s:5.1f}s")
                last_s = now_s()
            shown.add(part)
        if info is None or info.failed or not info.alive:
            break
        if info.ready:
            return info
        pause(_LOOK_EVERY_S)
    raise ProvisioningError(
        Reason.PREFECT_UNREACHABLE,
        "ebb up gave up",
        detail=(info.failed if info else "") or "its manager ended without a word",
        hint=f"see {stack.log_of(settings)}",
    )


def _show(info: StackInfo) -> None:
    say("")
    say(f"  Prefect   {info.ui_url}")
    say(f"  Run       {info.ui_url}/deployments   or   ebb run hello")
    say(f"  In        {info.folder}")
    say("  Held      until ebb down")
