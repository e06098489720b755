"""The table of the commands of ``ebb``; each is a module that is loaded when it is asked for."""

from __future__ import annotations

import importlib

import click
from click.shell_completion import CompletionItem

from ebbtide.flows.cli.parsing.command import Group
from ebbtide.flows.cli.place import PLACE
from ebbtide.infra.version import VERSION

_COLUMN = 20
"""Columns of names in the help."""
_ROOM = "ebbtide.flows.cli"
ROOMS = {"runs": "Runs", "machine": "Clusters and machines", "installation": "Installation"}
"""Of the modules below: the title that their commands stand under."""
COMMANDS = {
    "run": ("runs.run", "run a program on a cluster of its own"),
    "ps": ("runs.ps", "list runs, their phase, and why they wait"),
    "logs": ("runs.logs", "print what a run's program, head or workers wrote"),
    "open": (
        "runs.open",
        "open a run's dashboard, what it has kept, or Prefect's UI, in a browser, signed in",
    ),
    "why": (
        "runs.why",
        "say why a run waits, failed or was slow, and what to do",
    ),
    "stop": ("runs.stop", "end a run and release what it holds"),
    "held": (
        "machine.held",
        "list what is alive, and until when; exit 1 if something has no owner",
    ),
    "tiers": ("machine.tiers", "list hardware tiers, and how many workers of each fit now"),
    "cost": ("runs.cost", "sum what runs asked for, used and cost, or show one receipt"),
    "nodes": (
        "machine.nodes",
        "show pools, nodes, what runs where, the queue, clusters and leases",
    ),
    "metrics": ("machine.metrics", "print runs, queues, workers and pools for Prometheus"),
    "up": (
        "installation.up",
        "start a Prefect server, a worker and all deployments on this machine",
    ),
    "down": (
        "installation.down",
        "end what ebb up started; its runs are cancelled",
    ),
    "status": (
        "installation.status",
        "check this installation; exit 0 (well), 75 (look at it) or 70 (broken)",
    ),
    "prune": ("installation.prune", "delete runs that ended long ago"),
    "backup": (
        "installation.backup",
        "copy the whole installation, also while runs go on",
    ),
    "restore": ("installation.restore", "make an EBB_HOME from a backup"),
    "config": (
        "installation.config",
        "show every setting and where it comes from, or the schema of ebb.yaml",
    ),
    "init": ("installation.init", "write an ebb.yaml from this machine or a Kubernetes"),
    "completion": (
        "installation.completion",
        "print what bash, zsh or fish needs to complete commands, options and names",
    ),
    "emit": (
        "installation.emit",
        "send an event to Prefect, so that flows that wait for it start",
    ),
    "doctor": (
        "machine.doctor",
        "check what is missing on this machine, and how to get it",
    ),
}


_ABOUT = "Runs a Python job on a cluster of its own, and gives every machine back when it ends."
_VARIABLES = {
    "EBB_HOME": "where this installation keeps its records; else ~/.local/state/ebb",
    "EBB_CONFIG": "a file in the place of ebb.yaml",
    "EBB_PREFECT_SERVER": "off: no Prefect server is started, so runs are not recorded there",
    **{variable: told for variable, told in PLACE.values()},
    "EBB_WORK_POOL": "Prefect's work pool for detached runs, where there are several; off: none",
    "EBB_…": "every option of a run: ebb run --help names its variable",
}
_BEGIN = """\b
Begin with:
  ebb run hello                            a first look: grows, shrinks and ends
  ebb run train.py -- --epochs 3           your own program
  ebb run --workers 1..8 --detach -- python train.py"""


class _Ebb(Group):
    """``ebb`` itself. The module of a command is loaded when that is asked for, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command of the table; None: there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"{_ROOM}.{COMMANDS[cmd_name][0]}").main
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands below the titles of their rooms, and the variables."""
        rooms = {
            title: [
                (name, told)
                for name, (module, told) in COMMANDS.items()
                if module.startswith(f"{room}.")
            ]
            for room, title in ROOMS.items()
        }
        for title, rows in {**rooms, "Variables": list(_VARIABLES.items())}.items():
            with formatter.section(title):
                formatter.write_dl([(term.ljust(_COLUMN), told) for term, told in rows])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Return the commands that begin so, without loading any."""
        named = [
            CompletionItem(name, help=told)
            for name, (_, told) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]


_version = click.version_option(
    VERSION, "-V", "--version", message="ebb %(version)s", help="print the version"
)
EBB = _version(_Ebb("ebb", help=_ABOUT, epilog=_BEGIN))
"""The command line."""


def help_of(name: str) -> str:
    """Return the help of a command of the table, as it prints it."""
    with EBB.make_context("ebb", [name], resilient_parsing=True) as ebb:
        command = EBB.get_command(ebb, name)
        assert command is not None, name
        with command.make_context(name, [], parent=ebb, resilient_parsing=True) as ctx:
            return command.get_help(ctx)
