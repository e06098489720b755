"""Tables, JSON and remarks of the commands that show something."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ebbtide.flows.cli.streams import TextConsole
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.escaping import json_text, visible
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.base import HeldResource
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.waiting import pause

_LOOK_EVERY_S = 0.5
_GAP = 2
"""Columns between two cells."""
_MIN_LAST_COLUMN = 20


def say(message: str) -> None:
    """Print one line of ours to stderr, so that stdout stays data."""
    print(visible(message), file=sys.stderr, flush=True)


def show(message: str = "") -> None:
    """Print one line of what was asked for to stdout."""
    print(visible(message))


def print_json(data: Any) -> None:
    """Print one JSON document on stdout."""
    print(json_text(data, indent=2))


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on stdout; cells fold instead of being cut.

    On a terminal too narrow for the table each row is a block of lines, one for each column.
    """
    console = TextConsole()
    if console.is_terminal and _too_narrow(console, headers, rows):
        for row in rows:
            _print_block(headers, row)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(visible(header), overflow="fold")
    for row in rows:
        table.add_row(*map(visible, row))
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def _too_narrow(console: Console, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column but the last, which may fold, would be folded."""
    columns = list(zip(headers, *rows, strict=True))
    widths = [max(cell_len(cell) for cell in column) + _GAP for column in columns]
    last = min(widths[-1], _MIN_LAST_COLUMN)
    return sum(widths[:-1]) + last > console.width


def _print_block(headers: Sequence[str], row: Sequence[str]) -> None:
    """One row on lines of its own, empty cells left out, and an empty line after it."""
    width = max(map(cell_len, headers))
    for header, cell in zip(headers, row, strict=True):
        if cell:
            show(f"{header:<{width}}  {cell}")
    show()


def known_run(store: RunStore, name: str) -> Run:
    """Return the run of this name.

    Raises:
        ConfigurationError: RUN_UNKNOWN, with the nearest name.
    """
    run = store.run(RunName(name))
    if run is not None:
        return run
    hint = did_you_mean(name, store.run_names(), otherwise="ebb ps -a lists all runs")
    raise ConfigurationError([Problem(Reason.RUN_UNKNOWN, f"there is no run {name!r}", hint)])


def wait_for_change(store: RunStore) -> None:
    """Wait until another process has written to the store."""
    before = store.version()
    while store.version() == before:
        pause(_LOOK_EVERY_S)


def held_text(held: HeldResource) -> str:
    """What is held and where, and until when where that is known."""
    said = f"{held.role} {held.name} {held.where}".replace("  ", " ")
    return f"{said}, {held.until}" if held.until else said
