"""``ebb backup``: a copy of everything, also while runs go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import argument, command
from ebbtide.flows.cli.parsing.names import folder
from ebbtide.infra.installation.backup import backup
from ebbtide.infra.installation.footprint import size_of
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Copies the ledger, Prefect's database (unless it is a PostgreSQL), all runs'
folders, the secrets and notes of this installation into FOLDER, which only you can read. Nothing
has to be stopped. A run that is going on is copied as far as it has got, and counts as lost after a
restore. JSON: an object with the keys folder, runs, bytes."""


@command("backup", _DESCRIPTION)
@argument("folder", type=Path, shell_complete=folder, help="new, or empty")
def main(options: Any) -> int:
    """Make one."""
    folder = options.folder.absolute()
    runs = backup(load_settings(), folder)
    if options.json:
        print_json({"folder": str(folder), "runs": runs, "bytes": size_of(folder)})
    else:
        say(f"  ✓ {runs} runs, {format_memory(size_of(folder))} in {folder}")
        say("    it holds secrets: only you can read it; ebb restore makes an EBB_HOME from it")
    return ExitCode.OK
