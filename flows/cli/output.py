"""Tables, JSON and remarks of the commands that show something."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.escaping import json_text, visible
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.waiting import pause

_LOOK_EVERY_S = 0.5


class Parser(ArgumentParser):
    """An argument parser whose mistakes are errors of ours, with the nearest option named."""

    def __init__(self, command: str, description: str):
        super().__init__(prog=f"ebb {command}", description=description, allow_abbrev=False)
        self.add_argument("--json", action="store_true", help="one JSON document on stdout")

    def take(self, args: list[str]) -> Any:
        """The parsed arguments; all unknown ones are reported at once."""
        found, unknown = self.parse_known_args(args)
        known = [flag for action in self._actions for flag in action.option_strings]
        problems = [
            Problem(
                Reason.OPTION_INVALID,
                f"there is no option {word}",
                did_you_mean(word, known, otherwise=f"see {self.prog} --help"),
            )
            for word in unknown
        ]
        if problems:
            raise ConfigurationError(problems)
        return found

    def error(self, message: str) -> NoReturn:
        """Instead of argparse's own way out."""
        problem = Problem(Reason.OPTION_INVALID, message, f"see {self.prog} --help")
        raise ConfigurationError([problem])


def say(message: str) -> None:
    """One line of ours: to stderr, so that stdout stays data."""
    print(visible(message), file=sys.stderr, flush=True)


def show(message: str = "") -> None:
    """One line of what was asked for: to stdout."""
    print(visible(message))


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    print(json_text(data, indent=2))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on stdout; cells fold instead of being cut."""
    console = Console(highlight=False, markup=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(visible(header), overflow="fold")
    for row in rows:
        table.add_row(*map(visible, row))
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def known_run(store: RunStore, name: str) -> Run:
    """The run of this name.

    Raises:
        ConfigurationError: RUN_UNKNOWN, with the nearest name.
    """
    run = store.run(RunName(name))
    if run is not None:
        return run
    hint = did_you_mean(name, store.run_names(), otherwise="ebb ps -a lists all runs")
    raise ConfigurationError([Problem(Reason.RUN_UNKNOWN, f"there is no run {name!r}", hint)])


def wait_for_change(store: RunStore) -> None:
    """Until somebody else has written to the ledger."""
    before = store.version()
    while store.version() == before:
        pause(_LOOK_EVERY_S)
