"""Moves what a run needs and leaves: code to its pods, output, files and logs to this machine."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.records import EventKind
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters.packaging import package_of
from ebbtide.infra.platforms.kubernetes.elsewhere.ends import ends_of, write_ends
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import driver_name, head_name
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.shipping.collecting import fetch_folder
from ebbtide.infra.platforms.kubernetes.shipping.sending import send
from ebbtide.infra.platforms.kubernetes.tending.member_logs import MemberLogs
from ebbtide.infra.platforms.kubernetes.tending.output import OutputCopy, Source
from ebbtide.infra.platforms.run_folder import ARTIFACTS, OUTPUT, kept_files
from ebbtide.infra.platforms.upkeep.status import StatusReporter

_OUTPUT_END_S = 10.0


class Collector:
    """Of one cluster."""

    def __init__(self, api: Api, folder: Path, spec: RunSpec, reporter: StatusReporter):
        self._api, self._folder, self._spec, self._reporter = api, folder, spec, reporter
        self._logs = MemberLogs(api, folder)
        self._snapshot: Snapshot | None = None
        self._output: OutputCopy | None = None
        self._sending: threading.Thread | None = None
        self._lock = threading.Lock()
        self._warnings: deque[str] = deque()
        self._collected = False

    def tick(self, snapshot: Snapshot) -> None:
        """Begin whatever can begin now.

        Args:
            snapshot: of the cluster.
        """
        self._snapshot = snapshot
        self.tell()
        if self._sending is None and _runs(self._store(snapshot), layout.FILES):
            self._sending = threading.Thread(target=self._send, daemon=True)
            self._sending.start()
        if self._output is None and _runs(snapshot.driver, layout.FILES):
            source = Source(self._api, driver_name(snapshot.cluster))
            self._output = OutputCopy(source, self._folder, self._warn)
        self._logs.tick(snapshot, self._reporter.view.worker_names)

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
            if self._output is not None and not self._output.finish(_OUTPUT_END_S):
                self._warn("the end of the program's output could not be read")
            cluster, names = self._snapshot.cluster, self._reporter.view.worker_names
            if self._output is not None:
                self._fetch(driver_name(cluster), str(layout.OUTPUT), self._folder / OUTPUT)
                self._fetch(driver_name(cluster), str(layout.ARTIFACTS), self._folder / ARTIFACTS)
            if _runs(self._snapshot.head, layout.FILES):
                self._fetch(head_name(cluster), str(layout.ARTIFACTS), self._folder / ARTIFACTS)
            self._logs.collect(self._snapshot, names)
            self._write_ends()

    def _write_ends(self) -> None:
        """For machines that have only the records."""
        ends = ends_of(self._folder, kept_files(self._folder))
        try:
            write_ends(self._api, self._spec.name, ends)
        except ApiError as error:
            self._warn(f"the ends of the logs could not be written to the records: {error}")

    def _fetch(self, pod: str, folder: str, into: Path) -> None:
        try:
            fetch_folder(self._api.run, pod, layout.FILES, folder, into)
        except (ApiError, OSError) as error:
            self._warn(f"{folder} of {pod} could not be brought back: {error}")

    def _send(self) -> None:
        package = package_of(self._folder)
        if package is None or self._snapshot is None:
            return
        store = self._store(self._snapshot)
        assert store is not None
        try:
            send(self._api.run, store["metadata"]["name"], package)
        except (ApiError, EbbError) as error:
            self._warn(f"the program's code could not be sent: {error}")
            self._sending = None  # tried again at the next look

    def _store(self, snapshot: Snapshot) -> Object | None:
        """The pod with the package store."""
        return snapshot.head if self._spec.cluster.has_workers else snapshot.driver

    def _warn(self, message: str) -> None:
        """From any thread."""
        self._warnings.append(message)


def _runs(pod: Object | None, container: str) -> bool:
    statuses = pod.get("status", {}).get("containerStatuses", ()) if pod is not None else ()
    return any(s["name"] == container and "running" in s["state"] for s in statuses)
