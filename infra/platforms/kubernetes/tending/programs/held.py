"""Programs that a flow runs, one after another or side by side, on a cluster that it holds.

Each has a pod of its own, and its own code in the store beside the head; where there is no head, in
that of its pod. What it leaves is in its folder before anybody hears of its end (see
``is_collected``), so a flow that dies and comes back finds it running, or done.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from ebbtide.infra.files.private import write_whole
from ebbtide.infra.models.cluster import ClusterView, JobView
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import program_name
from ebbtide.infra.platforms.kubernetes.reading.job import notes_of
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.tending.programs.code import CodeSender
from ebbtide.infra.platforms.kubernetes.tending.programs.program import ProgramPod
from ebbtide.infra.platforms.run_folder import PROGRAMS
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.policy.cluster_use import Notes, what_is_lost
from ebbtide.infra.policy.explain.exits import exit_sentence


def is_collected(folder: Path, cluster: ClusterId, name: str) -> bool:
    """Whether all that a program has left is in its folder, and how it ended.

    Args:
        folder: of the run.
        cluster: on which it ran.
        name: of the program.

    Returns:
        Whether that is so.
    """
    return _end_file(folder / PROGRAMS / name, cluster).exists()


class HeldPrograms:
    """All of one cluster."""

    def __init__(
        self, api: Api, folder: Path, reporter: StatusReporter, warn: Callable[[str], None]
    ):
        """Nothing is done yet.

        Args:
            api: of its namespace.
            folder: of the run.
            reporter: of the cluster.
            warn: takes a sentence, from any thread.
        """
        self._api, self._folder, self._reporter, self._warn = api, folder, reporter, warn
        self._programs: dict[str, _Held] = {}

    def tick(self, snapshot: Snapshot) -> None:
        """See to each that there is, and say what has begun and ended."""
        views = self._reporter.view.programs
        for name, pod in snapshot.programs.items():
            if name not in self._programs:
                self._programs[name] = self._held(snapshot.cluster, name)
                self._reporter.event(EventKind.NOTE, f"program {name} runs")
            held = self._programs[name]
            store = snapshot.head or pod
            if snapshot.has_begun(store, layout.FILES):
                held.send_to(store, unpacked=store is pod)
            held.tick(pod, begun=snapshot.has_begun(pod, layout.FILES))
            view = views.get(name, JobView())
            if view.ended_at is not None and held.end(view):
                self._tell_end(name, view, notes_of(pod))

    def stop(self) -> None:
        """Follow none of them any more: another process does."""
        for held in self._programs.values():
            held.stop()

    def collect(self, view: ClusterView) -> None:
        """Bring back what all of them have left until now. ``view`` is the cluster's."""
        for name, held in self._programs.items():
            held.end(view.programs.get(name, JobView()))
            held.wait()

    def _held(self, cluster: ClusterId, name: str) -> _Held:
        folder = self._folder / PROGRAMS / name
        pod = program_name(cluster, name)
        return _Held(self._api, pod, folder, _end_file(folder, cluster), self._warn)

    def _tell_end(self, name: str, view: JobView, notes: Notes) -> None:
        well = view.exit_code == 0 and view.reason is None
        ended = "ended well" if well else exit_sentence(view.exit_code)
        message = f"{ended}: {view.detail}" if view.detail else ended
        self._reporter.event(EventKind.NOTE, f"program {name} {message}")
        if well and notes.unfinished:
            lost = what_is_lost(notes)
            hint = lost.hint.replace("RUN", self._folder.name)
            self._reporter.event(EventKind.WARNING, f"program {name}: {lost.message}", hint=hint)


class _Held:
    """One of them."""

    def __init__(
        self, api: Api, pod: str, folder: Path, end_file: Path, warn: Callable[[str], None]
    ):
        self._warn = warn
        self._end_file = end_file
        self._program = ProgramPod(api, pod, folder, warn)
        self._code = CodeSender(api, folder, warn)
        self._ending: threading.Thread | None = None

    def send_to(self, store: Object, *, unpacked: bool) -> None:
        """Send its code to a pod's store, from where its own pod and workers fetch it."""
        if not self._end_file.exists():
            self._code.send_to(str(store["metadata"]["name"]), unpacked=unpacked)

    def tick(self, pod: Object, *, begun: bool) -> None:
        """Follow it."""
        if self._end_file.exists():  # before this process was
            return
        self._program.tick(pod, begun=begun)

    def stop(self) -> None:
        """Follow it no more."""
        self._program.stop()

    def end(self, view: JobView) -> bool:
        """Bring back what it has left, and then write down how it ended; once.

        Returns:
            Whether this was the first time.
        """
        if self._ending is not None or self._end_file.exists():
            return False
        self._ending = threading.Thread(target=self._collect, args=(view,), daemon=True)
        self._ending.start()
        return True

    def wait(self) -> None:
        """Until it is done."""
        if self._ending is not None:
            self._ending.join()

    def _collect(self, view: JobView) -> None:
        self._program.collect()
        try:
            write_whole(self._end_file, json.dumps(to_data(view)))
        except OSError as error:
            self._warn(f"how the program ended could not be written down: {error}")


def _end_file(folder: Path, cluster: ClusterId) -> Path:
    return folder / f"exit-{cluster}.json"
