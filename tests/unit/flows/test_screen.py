"""A run on a stream that is no terminal, such as a notebook's: plain lines, nothing taken back."""

from __future__ import annotations

import io

import pytest

from ebbtide.flows.cli.screen import TextScreen
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Step
from ebbtide.infra.models.records import Event, EventKind


class Notebook(io.StringIO):
    """As ipykernel's streams: text only, no file below, no terminal."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")

    def isatty(self) -> bool:
        return False


@pytest.mark.parametrize("colour", [None, "1"], ids=["plain", "FORCE_COLOR"])
def test_notebook_gets_a_line_a_step_and_no_cursor_is_moved(
    colour: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ipykernel sets FORCE_COLOR: colours are shown there, a line that is replaced is not."""
    monkeypatch.setenv("TERM", "xterm-color")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    if colour:
        monkeypatch.setenv("FORCE_COLOR", colour)
    stream = Notebook()
    screen = TextScreen(stream)
    screen.live("starting: 0 workers joined")
    screen.waiting("nodes: no room")
    screen.waiting("nodes: no room")
    event = Event(
        run=RunName("r"), kind=EventKind.STEP_DONE, step=Step.START_WORKERS, message="1 of 1 joined"
    )
    screen.event(event, 3.0)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert "nodes: no room" in lines[0]
    assert "1 of 1 joined" in lines[1]
    assert not any(sign in stream.getvalue() for sign in ("\r", "\x1b[A", "\x1b[2K", "\x1b[?25"))


def test_warning_says_what_to_do() -> None:
    stream = Notebook()
    event = Event(
        run=RunName("r"), kind=EventKind.WARNING, message="it did", data={"hint": "undo it"}
    )
    TextScreen(stream).event(event, None)
    assert stream.getvalue() == "  ! it did\n      fix   undo it\n"
