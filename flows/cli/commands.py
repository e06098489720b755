"""The table of the commands of ``ebb``; each is a module that is loaded when it is asked for."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable

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


def loaded(name: str) -> Callable[[list[str]], int]:
    """Return the function of a command of the table; it takes what was typed behind the name."""
    module = importlib.import_module(f"{_ROOM}.{COMMANDS[name][0]}")
    return lambda args: int(module.main(args))


def help_of(name: str) -> str:
    """Return the help of a command of the table, as it prints it."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        loaded(name)(["--help"])
    return printed.getvalue()
