"""Programs that a flow runs, one after another or side by side, on a cluster that it holds.

Each is a child of the supervisor like a run's own program: its output and exit code reach its
folder before anybody hears of them, so a flow that dies and comes back finds it running, or done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.cluster import JobView
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.orders import Orders
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.local.processes import ProcessContext
from ebbtide.infra.platforms.local.supervisor.driver.hook import notes_file
from ebbtide.infra.platforms.local.supervisor.driver.notes import read_notes
from ebbtide.infra.platforms.local.supervisor.program import Driver
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.cluster_use import what_is_lost
from ebbtide.infra.policy.explain.exits import exit_sentence


class Programs:
    """All of one cluster, each started once."""

    def __init__(
        self,
        place: ProcessContext,
        reporter: StatusReporter,
        environment: Callable[[JobSpec, ProcessContext], Any],
    ):
        self._place = place
        self._reporter = reporter
        self._environment = environment
        self._drivers: dict[str, Driver] = {}

    def tick(self, orders: Orders, out_of_memory: str) -> None:
        """Start what was ordered, end what shall end, and say what has ended."""
        for name, job in orders.programs.items():
            if name not in self._drivers:
                self._start(name, job)
        for name in orders.stopped:
            if name in self._drivers:
                self._drivers[name].end(Reason.CANCELLED, Reason.CANCELLED.info.sentence)
        for driver in self._drivers.values():
            driver.poll(out_of_memory)
        self._tell()

    def end(self, reason: Reason, detail: str) -> None:
        """All at once, for a reason of ours."""
        for driver in self._drivers.values():
            driver.end(reason, detail, at_once=True)
            driver.poll("")
        self._tell()

    def ask_to_end(self) -> None:
        """All at once: the release goes on without waiting for each."""
        for driver in self._drivers.values():
            driver.ask_to_end()

    def _start(self, name: str, job: JobSpec) -> None:
        folder = self._place.logs / "programs" / name
        private_folder(self._place.home, "runs", self._place.run, "programs", name, "output")
        place = replace(self._place, logs=folder)
        driver = self._drivers[name] = Driver(job, place)
        driver.start(self._environment(job, place))
        self._reporter.event(EventKind.NOTE, f"program {name} runs")

    def _tell(self) -> None:
        before = self._reporter.view.programs
        now = {name: driver.view for name, driver in self._drivers.items()}
        if now == before:
            return
        self._reporter.update(programs=now)
        for name, view in now.items():
            if view.ended_at is not None and before.get(name) != view:
                self._tell_end(name, view)

    def _tell_end(self, name: str, view: JobView) -> None:
        well = view.exit_code == 0 and view.reason is None
        ended = "ended well" if well else exit_sentence(view.exit_code)
        message = f"{ended}: {view.detail}" if view.detail else ended
        self._reporter.event(EventKind.NOTE, f"program {name} {message}")
        notes = read_notes(notes_file(self._drivers[name].place))
        if well and notes.unfinished:
            lost = what_is_lost(notes)
            hint = lost.hint.replace("RUN", self._place.run)
            self._reporter.event(EventKind.WARNING, f"program {name}: {lost.message}", hint=hint)
