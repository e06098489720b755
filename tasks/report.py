"""What a run shows in Prefect while it goes on: what it does or waits for, links, its output.

A thread reads the ledger, as ``ebb run``'s terminal does, and passes on what is new. It is never in
the run's way: what cannot be sent is left out, and the job does not wait for it.

It sets no state: Prefect has no message without a transition, and each transition counts as a run
and starts the automations on Running again. What the run is at stands in the log and above the
``progress`` artifact, which is changed in place.
"""

from __future__ import annotations

import base64
import logging
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import StateType

from ebbtide.infra.accounting.receipts import receipt_of
from ebbtide.infra.escaping import markdown, visible
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import STEP_LABELS, Step
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.models.resources import format_memory
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.presentation.plot import svg_plot
from ebbtide.infra.presentation.receipt_text import receipt_markdown
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s
from ebbtide.tasks.artifacts import Artifacts
from ebbtide.tasks.throttle import LONGEST_LINE, Throttle

_TICK_S = 1.0
_ASK_EVERY_S = 2.5
_SAY_DROPPED_EVERY_S = 10.0
_DRAW_EVERY_S = 15.0
_FINISH_TIMEOUT_S = 20.0
_MAX_BYTES = 2**20
"""Of one stream at one look."""
_LAST_PIECES = 4
_LAST_LINES = 20
"""Shown at the end, though the program has printed too much to show."""
_ENDS = (StateType.CANCELLING, StateType.CANCELLED)

_STATES = (
    EventKind.STEP_DONE,
    EventKind.STEP_FAILED,
    EventKind.STEP_WAITING,
    EventKind.ATTEMPT,
)
"""Events that say what the run does now: shown above its progress."""
_LEVELS = {
    **dict.fromkeys(_STATES, logging.INFO),
    **dict.fromkeys((EventKind.SCALED, EventKind.LEFT, EventKind.NOTE), logging.INFO),
    **dict.fromkeys((EventKind.STEP_FAILED, EventKind.ATTEMPT, EventKind.WARNING), logging.WARNING),
}
"""Events that are logged, and how loud."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The run that is reported, and the flow run it is reported in."""

    settings: Settings
    run: RunName
    flow_run_id: UUID
    logger: logging.Logger | logging.LoggerAdapter[Any]
    stop: Callable[[], object]
    """Called when somebody has cancelled the flow run in Prefect."""


class Report:
    """Shows in Prefect what happens to a run while the ``with`` block runs."""

    def __init__(self, subject: Subject):
        self._subject = subject
        self._over = threading.Event()
        self._complained = ""
        self._thread = threading.Thread(target=self._work, name="ebb-report", daemon=True)

    def __enter__(self) -> Report:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_FINISH_TIMEOUT_S)

    def _work(self) -> None:
        with get_client(sync_client=True) as client:
            round_ = _Round(self._subject, client)
            while not self._over.wait(_TICK_S):
                self._try(round_.pass_on)
                self._try(round_.look_for_a_cancel)
                self._try(round_.draw)
            self._try(round_.pass_on)
            self._try(round_.finish)

    def _try(self, act: Callable[[], None]) -> None:
        """Do one thing; a server that is away for a while must not end the reporting."""
        try:
            act()
        except Exception as error:
            message = f"{act.__name__}: {error!r}"[:300]
            if message != self._complained:
                print(f"report to Prefect: {message}", file=sys.stderr, flush=True)
            self._complained = message


class _Round:
    """What has been passed on so far, and one more look at what is new."""

    def __init__(self, subject: Subject, client: SyncPrefectClient):
        self._subject = subject
        self._client = client
        self._store = open_store(subject.settings)
        self._artifacts = Artifacts(client, subject.flow_run_id)
        self._output = _Output(subject, self._store)
        self._version = -1
        self._seen = 0
        self._steps_done = 0
        self._message = ""
        self._asked_s = now_s()
        self._drawn_s = now_s()
        self._cancelled = False
        self._paused = False

    def pass_on(self) -> None:
        """Send what is new to Prefect."""
        self._output.pass_on()
        version = self._store.version()
        if version == self._version:
            return
        for event in self._store.events(self._subject.run, self._seen):
            self._seen = event.id
            self._note(event)
        self._show_progress()
        self._version = version

    def look_for_a_cancel(self) -> None:
        """Stop the run when its flow run is being cancelled, also without a Prefect worker."""
        if self._cancelled or now_s() - self._asked_s < _ASK_EVERY_S:
            return
        self._asked_s = now_s()
        state = self._client.read_flow_run(self._subject.flow_run_id).state
        if state is not None and state.type is StateType.PAUSED and not self._paused:
            self._paused = True
            self._subject.logger.info("suspended in Prefect: that takes effect after this job")
        if state is not None and state.type in _ENDS:
            self._cancelled = True
            self._subject.logger.info("cancelled in Prefect: everything is released")
            self._subject.stop()

    def draw(self) -> None:
        """Draw the plot of workers and their load from time to time."""
        if now_s() - self._drawn_s >= _DRAW_EVERY_S:
            self._drawn_s = now_s()
            self._show_plot()

    def finish(self) -> None:
        """Send what is left to send when the run is over."""
        self._output.finish()
        self._show_plot()
        receipt = receipt_of(self._store, self._subject.run)
        if receipt is not None:
            page, advice = receipt_markdown(receipt), markdown(receipt.advice)
            self._artifacts.put("receipt", "markdown", page, advice)

    def _show_plot(self) -> None:
        svg = svg_plot(self._store.samples(self._subject.run))
        if svg:
            image = base64.b64encode(svg.encode()).decode()
            page = f"![workers](data:image/svg+xml;base64,{image})"
            self._artifacts.put("workers", "markdown", page, "Workers and their load over time")

    def _note(self, event: Event) -> None:
        if event.kind not in _LEVELS:
            return
        message = event.message
        if event.step:
            message = f"{STEP_LABELS[event.step]}: {message}"
        if event.reason:
            message = f"{event.reason} {message}"
        message = visible(message)
        self._subject.logger.log(_LEVELS[event.kind], message)
        if event.kind in _STATES:
            self._message = message
        if event.kind is EventKind.STEP_DONE and event.step:
            self._steps_done = list(Step).index(event.step) + 1

    def _show_progress(self) -> None:
        view = self._view()
        percent = round(100 * self._steps_done / len(Step))
        message = self._message
        if view is not None and view.workers_wanted:
            message += f" · {view.workers_joined} of {view.workers_wanted} workers"
        self._artifacts.put("progress", "progress", float(percent), markdown(message))
        if view is not None and view.dashboard:
            how = f"It asks for the cluster's secret; `ebb open {self._subject.run}` signs you in."
            link = f"[{view.dashboard}]({view.dashboard})\n\n{how}"
            self._artifacts.put("dashboard", "markdown", link, "The framework's own dashboard")

    def _view(self) -> ClusterView | None:
        found = self._store.last_cluster(self._subject.run)
        return found.view if found is not None else None


class _Output:
    """Passes the program's two outputs on to Prefect's logs."""

    def __init__(self, subject: Subject, store: RunStore):
        self._run, self._logger = subject.run, subject.logger
        run = store.run(subject.run)
        assert run is not None  # it is reported while it is carried out
        logs = load_platform(run.spec.platform, subject.settings, store).logs(run.name, "job")
        self._streams = {
            "stdout": (logs["stdout"], logging.INFO),
            "stderr": (logs["stderr"], logging.WARNING),
        }
        self._halves = dict.fromkeys(self._streams, "")
        self._throttle = Throttle()
        self._last: deque[tuple[int, str]] = deque(maxlen=_LAST_LINES)
        self._skipped_bytes = 0
        self._said_s = now_s()

    def pass_on(self) -> None:
        """Pass on what is new; of a flood, what one look cannot take is left out."""
        for name, (log, level) in self._streams.items():
            self._take(name, level, log.read(_MAX_BYTES))
            skipped = log.skip(_MAX_BYTES)
            if skipped:
                self._skipped_bytes += skipped
                self._halves[name] = ""
        if now_s() - self._said_s > _SAY_DROPPED_EVERY_S:
            self.say_dropped()

    def finish(self) -> None:
        """Pass on the last lines, which say how it ended, whatever came before."""
        for name, (log, level) in self._streams.items():
            for piece in islice(log.pieces(), _LAST_PIECES):
                self._take(name, level, piece)
            if self._halves[name]:
                self._logger.log(level, self._halves[name][:LONGEST_LINE])
        dropped = len(self._last)
        self.say_dropped(but=dropped)
        for level, line in self._last:
            self._logger.log(level, line)

    def say_dropped(self, but: int = 0) -> None:
        """Log how much has been left out since the last time, except so many lines."""
        self._said_s = now_s()
        count, more, self._skipped_bytes = self._throttle.told() - but, self._skipped_bytes, 0
        if count > 0 or more:
            message = f"… {max(0, count)} more lines" + f" and {format_memory(more)}" * bool(more)
            self._logger.info("%s; all of them: ebb logs %s", message, self._run)

    def _take(self, name: str, level: int, data: bytes) -> None:
        text = self._halves[name] + data.decode(errors="replace")
        *lines, half = text.split("\n")
        self._halves[name] = half[-_MAX_BYTES:]
        shown = self._throttle.take(lines, now_s())
        for line in shown:
            self._logger.log(level, line)
        kept_back = lines[len(shown) :]
        if shown:
            self._last.clear()
        self._last.extend((level, line[:LONGEST_LINE]) for line in kept_back[-_LAST_LINES:])
