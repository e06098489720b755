"""What a cluster's tasks did and when, as a page that outlives it; written by the head as they end.

The page is appended to: a part of it that a killed head has half written is ignored by browsers.
Dask's own ``performance_report`` would be made at the end, by Bokeh, in seconds; a release waits
for nobody.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

FILE = "task-stream.html"
_TEMPLATE = Path(__file__).with_name("task_stream.html")
_EVERY_S = 2.0
_MAX_BYTES = 8 * 2**20
"""Of some 250,000 tasks, which a browser still shows."""


class TaskStream(SchedulerPlugin):
    """Collects tasks that have ended, and writes them every two seconds."""

    name = "ebb-task-stream"

    def __init__(self, scheduler: Scheduler, folder: Path):
        """``folder``: where the page is written, made when there is something to write."""
        self._scheduler = scheduler
        self._file = folder / FILE
        self._names: dict[str, int] = {}
        self._lanes: dict[tuple[str, int], int] = {}
        self._written = [0, 0]
        self._tasks: list[tuple[int, int, float, float, int]] = []
        self._room = _MAX_BYTES

    def transition(self, key: Any, start: str, finish: str, *_: Any, **more: Any) -> None:
        """Dask's call for each step in a task's life.

        Args:
            key: of the task.
            start: its state before.
            finish: its state now.
            _: more that Dask may tell.
            more: with ``startstops``, which tells when it was computed, its worker and thread.
        """
        if start != "processing" or finish not in ("memory", "erred") or self._room <= 0:
            return
        task = self._scheduler.tasks.get(key)
        if task is None:
            return
        name = self._names.setdefault(task.prefix.name, len(self._names))
        lane = self._lane(more.get("worker") or "", more.get("thread") or 0)
        for step in more.get("startstops") or ():
            if step["action"] == "compute":
                began, took = step["start"], step["stop"] - step["start"]
                failed = int(finish == "erred")
                self._tasks.append(
                    (lane, name, round(began * 1000, 1), round(took * 1000, 2), failed)
                )

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Dask's call when a client leaves: after the last one the head may be ended at once.

        Args:
            scheduler: which it leaves.
            client: its id.
        """
        del scheduler, client
        self.write()

    async def write_regularly(self) -> None:
        """Write what has come, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.write()

    def write(self) -> None:
        """Append what has not been written yet; nothing any more once the page is full."""
        if not self._tasks or self._room <= 0:
            return
        tasks, self._tasks = self._tasks, []
        part = {
            "names": list(self._names)[self._written[0] :],
            "lanes": [self._title(worker) for worker, _ in list(self._lanes)[self._written[1] :]],
            "tasks": tasks,
        }
        self._written = [len(self._names), len(self._lanes)]
        try:
            self._append(part)
            if self._room <= 0:
                self._append({"names": [], "lanes": [], "tasks": [], "full": True})
        except OSError:  # a full disk costs the page, not the head
            self._room = 0

    def _append(self, part: dict[str, Any]) -> None:
        text = json.dumps(part, separators=(",", ":")).replace("<", "\\u003c")
        self._room -= len(text)
        if not self._file.exists():
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(_TEMPLATE.read_text())
        with self._file.open("a") as page:
            page.write(f"<script>add({text})</script>\n")

    def _lane(self, worker: str, thread: int) -> int:
        return self._lanes.setdefault((worker, thread), len(self._lanes))

    def _title(self, worker: str) -> str:
        state = self._scheduler.workers.get(worker)
        return str(state.name) if state is not None else worker
