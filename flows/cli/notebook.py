"""How a run looks in a notebook: one area of its cell, written anew as things happen.

Without widgets: an output of the cell that is replaced by its id, as every front end of Jupyter
can, and which stays in the notebook when it is saved.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import importlib
import io
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ebbtide.flows.cli.screen import StepClock, TextScreen
from ebbtide.flows.cli.streams import TextConsole
from ebbtide.infra.escaping import visible
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.records import Event
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings

_COLUMNS = 100
_LOOK_S = 0.25
_PAGE = '<pre style="line-height:1.3;margin:0;white-space:pre-wrap">{code}</pre>'
_END_TIMEOUT_S = 5.0


def in_notebook() -> bool:
    """Whether this process is a kernel, whose outputs a notebook shows."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


def screen_for_people() -> TextScreen:
    """Return the screen that suits whoever reads this process's output."""
    return NotebookScreen() if in_notebook() else TextScreen()


class NotebookScreen(TextScreen):
    """The lines of ``TextScreen`` in one area of a cell, and below them what is waited for."""

    def __init__(self) -> None:
        console = TextConsole(io.StringIO(), soft_wrap=True, record=True, width=_COLUMNS)
        super().__init__(console=console)
        self._live = ""
        self._shown = importlib.import_module("IPython.display")
        self._area = self._shown.display(self._shown.HTML(""), display_id=True)

    def plan(self, spec: RunSpec) -> None:
        """Show the job, its cluster and its limits."""
        super().plan(spec)
        self._draw()

    def event(self, event: Event, took_s: float | None) -> None:
        """Show one line for what matters to a person."""
        self._live = ""
        super().event(event, took_s)
        self._draw()

    def waiting(self, message: str) -> None:
        """Show a line in the place of the last one of its kind."""
        if message != self._live:
            self._live = message
            self._draw()

    def live(self, message: str) -> None:
        """Show something that changes all the time."""
        self.waiting(message)

    def ended(self, lines: list[str], facts: dict[str, Any]) -> None:
        """Show how the run ended."""
        self._live = ""
        super().ended(lines, facts)
        self._draw()

    def _draw(self) -> None:
        text = self._console.export_html(clear=False, inline_styles=True, code_format=_PAGE)
        if self._live:
            text = f"{text.removesuffix('</pre>')}  … {html.escape(visible(self._live))}</pre>"
        self._area.update(self._shown.HTML(text))


@contextlib.contextmanager
def session_shown(settings: Settings, spec: RunSpec) -> Iterator[None]:
    """In a notebook, show what becomes of a session's cluster while the block lasts.

    Args:
        settings: of this installation.
        spec: of the session, which has begun.

    Yields:
        Nothing.
    """
    if not in_notebook():
        yield
        return
    screen, over = NotebookScreen(), threading.Event()
    screen.plan(spec)
    # In the cell's own context: a kernel shows there what a thread of it displays.
    context = contextvars.copy_context()
    follower = threading.Thread(
        target=context.run, args=(_follow, settings, spec, screen, over), daemon=True
    )
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join(_END_TIMEOUT_S)


def _follow(settings: Settings, spec: RunSpec, screen: TextScreen, over: threading.Event) -> None:
    store, clock, seen = open_store(settings), StepClock(), 0
    lasts = True
    while lasts:
        lasts = not over.wait(_LOOK_S)
        for event in store.events(spec.name, seen):
            seen = event.id
            screen.event(event, clock.took_s(event))
        if lasts:
            screen.live(_waits_for(store, spec))


def _waits_for(store: RunStore, spec: RunSpec) -> str:
    found = store.last_cluster(spec.name)
    view = found.view if found is not None else None
    return view.waiting.message if view is not None and view.waiting is not None else ""
