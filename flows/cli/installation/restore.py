"""``ebb restore``: make EBB_HOME of a backup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import argument, command, option
from ebbtide.flows.cli.parsing.names import folder
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.flows.prefect_server import server
from ebbtide.flows.service import stack
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.installation.backup import restore
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.base import load_platforms
from ebbtide.infra.settings import Settings, load_settings

_DESCRIPTION = """Makes an EBB_HOME from what `ebb backup` has written to FOLDER. Refused while
anything of this installation is alive, and when EBB_HOME is not empty (--overwrite moves what is
there aside). JSON: an object with the keys home, runs."""


@command("restore", _DESCRIPTION, Preparation(ledger=False))
@argument("folder", type=Path, shell_complete=folder, help="made by ebb backup")
@option("--overwrite", is_flag=True, help="move aside what is there")
def main(options: Any) -> int:
    """Restore one."""
    settings = load_settings()
    living = _living(settings)
    if living:
        summary = f"{settings.home} is in use: {', '.join(living)}"
        hint = "ebb down; ebb stop RUN; ebb held shows what is left"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
    runs = restore(settings, options.folder.absolute(), overwrite=options.overwrite)
    if options.json:
        print_json({"home": str(settings.home), "runs": runs})
    else:
        say(f"  ✓ {runs} runs in {settings.home}; ebb ps -a lists them, ebb up starts the rest")
    return ExitCode.OK


def _living(settings: Settings) -> list[str]:
    """List what of this installation is alive."""
    held = [one for platform in load_platforms(settings) for one in platform.held()]
    found = [f"{one.role} of {one.cluster} ({one.where})" for one in held if one.role != "folder"]
    up, info = stack.running(settings), server.running(settings.home)
    if up is not None:
        found.append(f"ebb up (pid {up.pid})")
    if info is not None:
        found.append(f"the Prefect server (pid {info.pid})")
    return found
