"""Following a run from its terminal: events and output as they come, Ctrl-C, and the last line."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from itertools import islice
from typing import Any

from ebbtide.flows.cli.output import held_text
from ebbtide.flows.cli.runs.stdin import Stdin
from ebbtide.flows.cli.screen import Screen, StepClock, TextScreen
from ebbtide.flows.cli.streams import silence_closed_pipes
from ebbtide.flows.launch import Flow
from ebbtide.flows.prefect_server import server
from ebbtide.flows.service import stack
from ebbtide.infra.accounting.receipts import receipt_of
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.lifecycle.inventory import last_view
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import ExitCode, Reason, Step
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.base import HeldResource, load_platform
from ebbtide.infra.presentation.kept_text import kept_line, stored_line
from ebbtide.infra.presentation.receipt_text import short_line
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import now_s, pause, wait_until, wall_s

_SHORTEST_LOOK_S = 0.02
_LONGEST_LOOK_S = 0.2
_OUTPUT_LOOK_S = 0.03
"""What a program prints is looked for more often than all else: two files are asked for it."""
_MAX_PIECES = 32
_FLOW_END_TIMEOUT_S = 5.0
_RECORD_TIMEOUT_S = 600.0
_RELEASES_BY_ITSELF = "local"
"""A platform whose clusters somebody else than the flow process takes care of, to their end."""
_SETTLE_TIMEOUT_S = 30.0


class Viewer:
    """Shows one run until it has ended."""

    def __init__(
        self,
        settings: Settings,
        store: RunStore,
        spec: RunSpec,
        flow: Flow,
        screen: Screen,
        stdin: Stdin | None = None,
    ):
        """``stdin`` is what the program reads too; None when it does not."""
        self._settings = settings
        self._store = store
        self._spec = spec
        self._platform = load_platform(spec.platform, settings, store)
        self._flow = flow
        self._screen = screen
        self._stdin = stdin or Stdin()
        self._logs = self._platform.logs(spec.name, "job")
        self._seen = 0
        self._clock = StepClock()
        self._started_at = wall_s()
        self._times: dict[Step, float] = {}
        self._peak_workers = 0
        self._interrupts = 0
        self._last_reason = ""
        self._reader_gone = False
        self._wait_for_record = True
        self._over_at_s: float | None = None

    def follow(self, interrupt: Callable[[], int | None], *, wait_for_record: bool = True) -> int:
        """Show the run until it has ended or is let go.

        Args:
            interrupt: returns the number of a signal that has come since it was last called.
            wait_for_record: whether to wait, too, until the flow process has ended, which then has
                told Prefect all of it; it is let go otherwise.

        Returns:
            What to exit with.
        """
        self._wait_for_record = wait_for_record
        while True:
            try:
                return self._follow(interrupt)
            except BrokenPipeError:  # twice at most: stdout, stderr
                self._reader_gone = True
                silence_closed_pipes()
                stop_run(self._settings, self._spec.name, Reason.READER_GONE)

    def _follow(self, interrupt: Callable[[], int | None]) -> int:
        look_s = _SHORTEST_LOOK_S
        while True:
            over = self._over()
            news = self._show_news()
            if over and not news:
                return self._finish()
            number = interrupt()
            if number is not None and self._interrupted(number):
                return ExitCode.OK
            look_s = _SHORTEST_LOOK_S if news else min(look_s * 1.3, _LONGEST_LOOK_S)
            self._show_waiting()
            pause(_SHORTEST_LOOK_S)  # also for a program that never stops printing
            if self._show_output_within(look_s - _SHORTEST_LOOK_S):
                look_s = _SHORTEST_LOOK_S

    def _show_output_within(self, timeout_s: float) -> bool:
        """Wait for output, and show it. Returns whether there was any."""
        pauses = {"first_s": _OUTPUT_LOOK_S, "longest_s": _OUTPUT_LOOK_S}
        return wait_until(self._show_output, timeout_s=timeout_s, **pauses)

    def _over(self) -> bool:
        run = self._store.run(self._spec.name)
        if run is not None and run.over:
            return not self._is_record_awaited()
        if not self._flow.ended:
            return False
        self._store.catch_up()
        self._settle()
        return True

    def _is_record_awaited(self) -> bool:
        """Whether the run, which is over, is shown on until Prefect knows."""
        if self._over_at_s is None:
            self._over_at_s = now_s()
        if not self._wait_for_record or self._flow.ended:
            return False
        return now_s() - self._over_at_s < _RECORD_TIMEOUT_S

    def _settle(self) -> None:
        """Release and end a run whose flow process died without ending it."""
        run = self._spec.name
        found = self._store.run(run)
        if found is not None and found.over:
            return
        stop_run(self._settings, run, Reason.FLOW_LOST)
        wait_until(lambda: not self._store.living_clusters(run), timeout_s=_SETTLE_TIMEOUT_S)
        reaper.settle(self._store, run)

    def _show_news(self) -> bool:
        news = False
        for event in self._store.events(self._spec.name, self._seen):
            self._seen, news = event.id, True
            self._show_output()  # what was printed before an event is shown before it
            self._show_event(event)
        return self._show_output() or news

    def _show_output(self) -> bool:
        shown = False
        for stream, log in self._logs.items():
            for data in islice(log.pieces(), _MAX_PIECES):  # between them Ctrl-C is looked at
                shown = True
                self._screen.output(stream, data)
        return shown

    def _show_event(self, event: Event) -> None:
        took_s = self._clock.took_s(event)
        if event.step is not None and took_s is not None:
            self._times[event.step] = self._times.get(event.step, 0.0) + took_s
        if event.kind is EventKind.STEP_WAITING:
            self._last_reason = event.message
        if event.kind is EventKind.SCALED:
            self._peak_workers = max(self._peak_workers, event.data["after"])
        self._screen.event(event, took_s)

    def _show_waiting(self) -> None:
        if self._over_at_s is not None:
            if self._wait_for_record and isinstance(self._screen, TextScreen):
                self._screen.live("Prefect is told the rest of it")
            return
        found = self._store.last_cluster(self._spec.name)
        view = found.view if found is not None else None
        if view is None:
            return
        waited = format_duration(wall_s() - self._clock.last_at)
        if view.queue is not None:
            allowed = format_duration(self._spec.limits.start_within_s)
            self._screen.waiting(f"nodes: {self._last_reason} · waits for up to {allowed}")
        elif view.released_at is not None or view.job.started_at is not None:
            self._screen.waiting("")
        elif view.waiting is not None and (view.waiting.reason or view.waiting.grows):
            self._screen.waiting(view.waiting.message)
        elif view.waiting is not None and isinstance(self._screen, TextScreen):
            self._screen.live(view.waiting.message)  # it takes its time
        elif view.admitted_at is not None and isinstance(self._screen, TextScreen):
            self._screen.live(f"starting: {view.workers_joined} workers joined · {waited}")

    def _interrupted(self, number: int) -> bool:
        """Act on a signal. Returns True when the run is to go on without us."""
        if self._over_at_s is not None:  # nothing is left to stop
            self._wait_for_record = False
            return False
        self._interrupts += 1
        run = self._spec.name
        if self._interrupts > 1:
            stop_run(self._settings, run, Reason.CANCELLED, at_once=True)
            return False
        choice = self._ask() if number == signal.SIGINT else "s"
        if choice == "c":
            self._interrupts = 0
            return False
        if choice == "d":
            self._flow.let_go()
            self._screen.detached(run)
            return True
        stop_run(self._settings, run, Reason.CANCELLED)
        return False

    def _ask(self) -> str:
        """Ask whether to stop, detach or continue; without a terminal the answer is stop."""
        if not sys.stdin.isatty() or not isinstance(self._screen, TextScreen):
            return "s"
        question = "\n  The run goes on.   [s] stop and release   [d] detach   [c] continue  "
        with self._stdin.kept_for_us():
            self._screen.ask(question)
            try:
                answer = sys.stdin.readline().strip().lower()
            except (OSError, KeyboardInterrupt):
                return "s"
        return answer[:1] if answer[:1] in ("d", "c") else "s"

    def _finish(self) -> int:
        run = self._store.run(self._spec.name)
        assert run is not None
        wait_until(self._all_over, timeout_s=_FLOW_END_TIMEOUT_S)
        self._flow.let_go()  # what it may still have to tell Prefect keeps nobody
        held = self._held_text()
        code = ExitCode.OK if run.exit_code is None else run.exit_code
        if self._reader_gone:  # also when the program had ended well by then
            code = ExitCode.READER_GONE
        facts = {
            "run": self._spec.name,
            "phase": run.phase.value,
            "reason": run.reason.value if run.reason else None,
            "detail": run.detail,
            "exit_code": code,
            "seconds": round(wall_s() - self._started_at, 2),
            "output": str(self._platform.fetch_output(self._spec.name)),
            "held": held,
        }
        self._screen.ended(self._last_lines(facts, held), facts)
        return code

    def _last_lines(self, facts: dict[str, Any], held: str) -> list[str]:
        total = facts["seconds"]
        job_s = self._times.get(Step.RUN_USER_JOB, 0.0)
        if facts["reason"] is None:
            share = round(100 * job_s / total) if total else 0
            peak = max(self._peak_workers, self._spec.cluster.policy.min_workers)
            workers = f" · peak {peak} workers" * self._spec.cluster.has_workers
            first = f"Done in {format_duration(total)} · {share} % your code{workers}"
        else:
            first = f"{facts['phase']}: {facts['reason']} · {facts['detail']}"
        more = f"Logs   ebb logs {self._spec.name}      Why   ebb why {self._spec.name}"
        kept = f"Kept   {kept_line(self._spec.name, self._platform.kept(self._spec.name))}"
        lines = [first, *self._receipt_lines(), more, *self._stored(), kept, *self._server_lines()]
        return [*lines, f"Held now: {held}"]

    def _stored(self) -> list[str]:
        line = stored_line(self._spec.outputs, last_view(self._store, self._spec.name))
        return [f"Output {line}"] if line else []

    def _receipt_lines(self) -> list[str]:
        receipt = receipt_of(self._store, self._spec.name)
        return [f"Cost   {short_line(receipt)}"] if receipt is not None else []

    def _server_lines(self) -> list[str]:
        info = server.running(self._settings.home)
        if info is None:
            return []
        up = stack.running(self._settings) is not None
        until = "until ebb down" if up else "ends itself when idle; ebb held"
        return [f"Prefect server of this machine: {info.ui_url} ({until})"]

    def _all_over(self) -> bool:
        needs_flow = self._wait_for_record or self._spec.platform != _RELEASES_BY_ITSELF
        flow_may_go = self._flow.ended or not needs_flow
        return flow_may_go and all(held.stays for held in self._held())

    def _held(self) -> list[HeldResource]:
        clusters = self._platform.clusters(self._spec.name)
        return [held for cluster in clusters for held in self._platform.held(cluster)]

    def _held_text(self) -> str:
        """Say what is held now: on the machine, and of the pool's shares."""
        left = self._held()
        shares = self._store.shares_of(self._spec.name)
        if left or shares:
            names = [held_text(held) for held in left]
            return ", ".join([*names, *(f"share {owner}" for owner in shares)])
        return "nothing (0 processes, 0 folders, 0 shares)"
