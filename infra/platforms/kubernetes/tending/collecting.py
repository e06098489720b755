"""Moves what a run needs and leaves: code to its pods, output, files and logs to this machine."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from dataclasses import replace
from pathlib import Path

from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.elsewhere.ends import ends_of, write_ends
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object
from ebbtide.infra.platforms.kubernetes.naming import driver_name, selector
from ebbtide.infra.platforms.kubernetes.reading.failures import out_of_reach
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, runs
from ebbtide.infra.platforms.kubernetes.tending.logs.member_logs import MemberLogs
from ebbtide.infra.platforms.kubernetes.tending.programs.code import CodeSender
from ebbtide.infra.platforms.kubernetes.tending.programs.held import HeldPrograms
from ebbtide.infra.platforms.kubernetes.tending.programs.program import ProgramPod
from ebbtide.infra.platforms.run_folder import ARTIFACTS, kept_files
from ebbtide.infra.platforms.upkeep.status import StatusReporter


class Collector:
    """Of one cluster."""

    def __init__(self, api: Api, folder: Path, spec: RunSpec, reporter: StatusReporter):
        cluster = reporter.view.cluster
        self._api, self._folder, self._spec, self._reporter = api, folder, spec, reporter
        self._snapshot: Snapshot | None = None
        self._program = ProgramPod(api, driver_name(cluster), folder, self._warn)
        self._held = HeldPrograms(api, folder, reporter, self._warn)
        self._logs = MemberLogs(api, folder, self._warn)
        self._code = CodeSender(api, folder, self._warn)
        self._lock = threading.Lock()
        self._warnings: deque[str] = deque()
        self._collected = False

    def tick(self, snapshot: Snapshot, *, sends: bool = True) -> None:
        """Begin whatever can begin now.

        Args:
            snapshot: of the cluster.
            sends: whether its code is to be sent from here.
        """
        self._snapshot = snapshot
        self.tell()
        store = self._store(snapshot)
        if sends and store is not None and snapshot.has_begun(store, layout.FILES):
            self._code.send_to(store["metadata"]["name"])
        driver = snapshot.driver
        self._program.tick(driver, begun=snapshot.has_begun(driver, layout.FILES))
        self._held.tick(snapshot)
        self._logs.tick(snapshot, self._reporter.view.worker_names)

    def stop(self) -> None:
        """Copy nothing more: another process does."""
        self._collected = True
        self._program.stop()
        self._held.stop()
        self._logs.stop()

    def tell(self) -> None:
        """Record what other threads have to tell; for the tender's own."""
        while self._warnings:
            self._reporter.event(EventKind.WARNING, self._warnings.popleft())

    def collect(self) -> None:
        """Bring back all that is there; once, also when two threads ask for it."""
        with self._lock:
            if self._collected or self._snapshot is None:
                return
            self._collected = True
            names = self._reporter.view.worker_names
            self._program.collect()
            self._held.collect(self._reporter.view)
            snapshot = self._as_it_is_now(self._snapshot)
            head = snapshot.head
            if head is not None and runs(head, layout.FILES) and not out_of_reach(head):
                into = self._folder / ARTIFACTS
                self._program.fetch(head["metadata"]["name"], layout.ARTIFACTS, into)
            self._logs.collect(snapshot, names)
            self._write_ends()

    def _as_it_is_now(self, snapshot: Snapshot) -> Snapshot:
        """With the pods of this moment: of a node that is lost since, nothing can be read."""
        with contextlib.suppress(ApiError):
            pods = self._api.list(POD, selector(snapshot.cluster)).items
            return replace(snapshot, pods=tuple(pods))
        return snapshot

    def _write_ends(self) -> None:
        """For machines that have only the records."""
        ends = ends_of(self._folder, kept_files(self._folder))
        try:
            write_ends(self._api, self._spec.name, ends)
        except ApiError as error:
            self._warn(f"the ends of the logs could not be written to the records: {error}")

    def _store(self, snapshot: Snapshot) -> Object | None:
        """The pod with the package store."""
        return snapshot.head if self._spec.cluster.has_workers else snapshot.driver

    def _warn(self, message: str) -> None:
        """From any thread."""
        self._warnings.append(message)
