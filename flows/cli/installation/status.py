"""``ebb status``: is this installation well? For people and for monitors."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import command
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.flows.service import health
from ebbtide.flows.service.health import Check
from ebbtide.infra.errors import EbbError
from ebbtide.infra.installation.footprint import Footprint, footprint
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.settings import Settings, load_settings

_DESCRIPTION = """Looks at the server, worker, reaper, pool and schedules of `ebb up`, the disk, and
how fast this installation grows; changes nothing. Exit 0: all is well; 75: something needs
attention; 70: something does not work, or `ebb up` is not running. JSON: an object with the keys
state (ok, warning, bad, down), checks (a list of check, state, detail, fix) and use (free, home,
runs, ledger, prefect_db, logs in bytes, run_count, runs_per_day, bytes_per_run, bytes_per_day; null
when the ledger cannot be read)."""
_MARKS = {"ok": "✓", "warning": "!", "bad": "✗", "down": "–"}
_EXIT = {
    "ok": ExitCode.OK,
    "warning": ExitCode.TEMPORARY,
    "bad": ExitCode.INFRASTRUCTURE,
    "down": ExitCode.INFRASTRUCTURE,
}


@command("status", _DESCRIPTION, Preparation(ledger=False))
def main(options: Any) -> int:
    """Look at everything and say the worst in the exit code."""
    settings = load_settings()
    checks = health.look(settings)
    taken, found = _space(settings)
    checks += found
    state = worst(checks)
    if options.json:
        use = None
        if taken is not None:
            derived = {"bytes_per_run": taken.bytes_per_run, "bytes_per_day": taken.bytes_per_day}
            use = {**asdict(taken), **{key: round(value) for key, value in derived.items()}}
        print_json({"state": state, "checks": [asdict(check) for check in checks], "use": use})
        return _EXIT[state]
    for check in checks:
        print(f"  {_MARKS[check.state]} {check.check:<11} {check.detail}")
        if check.fix:
            print(f"      fix   {check.fix}")
    say({"ok": "all is well", "down": "ebb up is not running"}.get(state, f"state: {state}"))
    return _EXIT[state]


def worst(checks: list[Check]) -> str:
    """Return the worst of all states; ``ok`` when there is no check."""
    order = ("ok", "warning", "down", "bad")
    return max((check.state for check in checks), key=order.index, default="ok")


def _space(settings: Settings) -> tuple[Footprint | None, list[Check]]:
    if not settings.home.exists():
        return None, [Check("home", "ok", f"{settings.home} is not there yet")]
    keeps = ""
    with contextlib.suppress(EbbError):  # ebb doctor says what is wrong with the file
        keeps = str(catalog_for(os.environ, Path.cwd())[0].keep)
    store = open_to_look(settings)
    try:
        checks = health.space(taken := footprint(settings, store), keeps)
    except EbbError as error:
        return None, [Check("ledger", "bad", f"{error.summary}: {error.detail}", error.hint)]
    finally:
        store.close()
    if store.stale:
        checks.append(Check("ledger", "bad", store.stale, "free some disk space"))
    return taken, checks
