"""``ebb prune``: delete runs that ended long ago."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.installation.keeping import Old, beyond, prune
from ebbtide.infra.models.keep import Keep
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.resources import format_memory, parse_duration_s
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.request.hints import problem_from
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Deletes ended runs: their folders (output, logs) and their records in the ledger,
so that `ebb cost` no longer counts them. Without --older-than: the runs that `keep` in ebb.yaml
no longer keeps (keep: 30d, keep: 1000 runs, keep: 20Gi, or a list of them); the reaper of `ebb up`
deletes those every hour. A run that is going on or holds anything is never deleted. Prefect forgets
a run 30 days after its end. JSON: an object with the keys dry_run, runs (their names), freed_bytes
(with --dry-run: those of their folders)."""


@command("prune", _DESCRIPTION, Preparation(changes=True))
@option("--older-than", metavar="AGE", help="runs that ended longer ago than this, like 30d")
@option("--dry-run", is_flag=True, help="list what would be deleted")
def main(options: Any) -> int:
    """Delete them, or say which."""
    keep = _keep(options.older_than)
    settings = load_settings()
    store = open_store(settings)
    old = beyond(settings, store, keep)
    freed = sum(one.bytes_ for one in old) if options.dry_run else prune(settings, store, old)
    if options.json:
        runs = [one.run for one in old]
        print_json({"dry_run": options.dry_run, "runs": runs, "freed_bytes": freed})
    else:
        _show(old, freed, keep, dry_run=options.dry_run)
    return ExitCode.OK


def _keep(older_than: str | None) -> Keep:
    if older_than is not None:
        try:
            return Keep(age_s=parse_duration_s(older_than))
        except ValueError as error:
            problem = problem_from(Reason.OPTION_INVALID, "--older-than", error)
            raise ConfigurationError([problem]) from None
    keep = catalog_for(os.environ, Path.cwd())[0].keep
    if not keep:
        summary = "neither --older-than nor keep in ebb.yaml says what to delete"
        hint = "ebb prune --older-than 30d, or keep: 30d in ebb.yaml"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
    return keep


def _show(old: list[Old], freed: int, keep: Keep, *, dry_run: bool) -> None:
    if not old:
        say(f"nothing to delete: no ended run is beyond {keep}")
        return
    for one in old:
        print(f"{one.run:<32} {format_memory(one.bytes_)}")
    verb = "would be deleted" if dry_run else "deleted"
    say(f"{len(old)} runs {verb}: {format_memory(freed)} free")
