"""``ebb restore``: make EBB_HOME of a backup."""

from __future__ import annotations

from pathlib import Path

from ebbtide.flows.cli.output import Parser, print_json, say
from ebbtide.flows.prefect_server import server
from ebbtide.flows.service import stack
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.installation.backup import restore
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.settings import Settings, load_settings

_DESCRIPTION = """Makes an EBB_HOME from what `ebb backup` has written to FOLDER. Refused while
anything of this installation is alive, and when EBB_HOME is not empty (--overwrite moves what is
there aside). JSON: an object with the keys home, runs."""


def main(args: list[str]) -> int:
    """Restore one."""
    parser = Parser("restore", _DESCRIPTION)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="made by ebb backup")
    parser.add_argument("--overwrite", action="store_true", help="move aside what is there")
    options = parser.take(args)
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
    found = [f"{one.role} of {one.cluster} (pid {one.pid})" for one in marks.marked(settings.home)]
    up, info = stack.running(settings), server.running(settings.home)
    if up is not None:
        found.append(f"ebb up (pid {up.pid})")
    if info is not None:
        found.append(f"the Prefect server (pid {info.pid})")
    return found
