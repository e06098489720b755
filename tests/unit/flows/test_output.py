"""Tables on terminals of any width."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest

from ebbtide.flows.cli.output import print_table

HEADERS = ("RUN", "PHASE", "WHY")
WHY = "the program exited with 3"


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, columns: int, *row: str) -> list[str]:
    """The lines of a table of one row, on a terminal of so many columns."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    with redirect_stdout(Terminal()) as terminal:
        print_table(HEADERS, [row])
    return terminal.getvalue().splitlines()


def test_row_of_a_table_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 80, "copper-heron", "Failed", WHY)
    assert len(lines) == 2  # headers, row
    assert "copper-heron" in lines[1]
    assert WHY in lines[1]


def test_row_is_a_block_where_the_table_would_be_folded(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 40, "copper-heron", "Failed", WHY)
    assert lines == ["RUN    copper-heron", "PHASE  Failed", f"WHY    {WHY}", ""]


def test_empty_cell_has_no_line_in_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(monkeypatch, 40, "copper-heron", "", WHY)
    assert lines == ["RUN    copper-heron", f"WHY    {WHY}", ""]
