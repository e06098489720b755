"""One program in its pod, as whoever tends its cluster sees to it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ebbtide.infra.models.job import volume_of
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object
from ebbtide.infra.platforms.kubernetes.naming import BEGIN, OUTPUTS
from ebbtide.infra.platforms.kubernetes.reading.failures import out_of_reach
from ebbtide.infra.platforms.kubernetes.reading.snapshot import leaving, node_of, state
from ebbtide.infra.platforms.kubernetes.shipping.collecting import fetch_folder
from ebbtide.infra.platforms.kubernetes.tending.output import OutputCopy
from ebbtide.infra.platforms.kubernetes.tending.programs.begin import Beginning
from ebbtide.infra.platforms.run_folder import ARTIFACTS, OUTPUT
from ebbtide.infra.platforms.upkeep.stdin import NOT_ANSWERED, begin_anew, taken

_OUTPUT_END_S = 10.0
_LEAVING_S = 30.0
"""A driver's grace: its program may have the most of it."""


class ProgramPod:
    """A program's output, files and standard input."""

    def __init__(self, api: Api, pod: str, folder: Path, warn: Callable[[str], None]):
        """Nothing is done yet.

        Args:
            api: of its namespace.
            pod: its name.
            folder: where what it leaves is put: the run's, or its own of a held cluster.
            warn: takes a sentence, from any thread.
        """
        self._api, self._pod, self._folder, self._warn = api, pod, folder, warn
        self._output: OutputCopy | None = None
        self._beginning: Beginning | None = None
        self._outputs = ""
        self._leaving: threading.Thread | None = None
        self._lock, self._brought = threading.Lock(), False
        self._seen: Object | None = None

    def tick(self, pod: Object | None, *, begun: bool) -> None:
        """Begin whatever can begin now.

        Args:
            pod: None while there is none.
            begun: whether its container ``files`` runs.
        """
        self._seen = pod
        if pod is None or not begun:
            return
        if self._output is None:
            self._output = OutputCopy(self._api, self._pod, self._folder, self._warn)
        told = pod["metadata"].get("annotations") or {}
        self._outputs, begin = told.get(OUTPUTS, ""), told.get(BEGIN)
        if begin is not None and self._beginning is None:
            file = self._stdin() if begin == "stdin" else None
            self._beginning = Beginning(self._api.run, self._pod, file)
        if self._beginning is not None and state(pod, "terminated") is not None:
            self._beginning.stop()
        if leaving(pod) and self._leaving is None:
            self._leaving = threading.Thread(target=self._bring_in_time, daemon=True)
            self._leaving.start()

    def stop(self) -> None:
        """Copy and pass on nothing more: another process does."""
        if self._beginning is not None:
            self._beginning.stop()
        if self._output is not None:
            self._output.finish(0.0)

    def collect(self) -> None:
        """Bring back all that is there, when it has ended or is about to be deleted."""
        if self._beginning is not None:
            self._beginning.stop()
        self._bring(_OUTPUT_END_S)

    def _bring_in_time(self) -> None:
        """A pod that somebody else takes away stays until that is done, but not for long."""
        if self._output is not None and self._output.ends_within(_LEAVING_S):
            self._bring(0.0)

    def _bring(self, end_within_s: float) -> None:
        """Everything, once."""
        with self._lock:
            if self._output is None or self._brought:
                return
            self._brought = True
            lost_with = self._lost_with()
            if lost_with:
                self._output.finish(0.0)
                what = "the end of the program's output and its files"
                self._warn(f"{what} could not be read: node {lost_with} does not answer")
                return
            if not self._output.finish(end_within_s):
                self._warn("the end of the program's output could not be read")
            self._fetch_all()

    def _lost_with(self) -> str:
        """Its node, when that does not answer; else empty.

        Looked up, because whoever ends the run may know of it before the next tick; and the API
        server tries for half a minute to reach a node that does not answer, each time it is asked.
        """
        pod = self._seen
        with contextlib.suppress(ApiError):
            pod = self._api.get(POD, self._pod) or pod
        return node_of(pod) if pod is not None and out_of_reach(pod) else ""

    def _fetch_all(self) -> None:
        assert self._output is not None
        stored = self._is_stored(self._output.end)
        if stored or self.fetch(self._pod, layout.OUTPUT, self._folder / OUTPUT):
            into = self._folder / ARTIFACTS
            self.fetch(self._pod, layout.ARTIFACTS, into, log=str(layout.LOG))

    def _is_stored(self, end: Mapping[str, Any]) -> bool:
        """Whether what it wrote is elsewhere: what could not be stored there comes here."""
        if volume_of(self._outputs) is not None:
            return True
        stored = end.get("stored")
        return isinstance(stored, dict) and "lost" not in stored

    def fetch(self, pod: str, folder: object, into: Path, log: str = "") -> bool:
        """Bring back a folder of a pod; where that fails, it is told.

        Args:
            pod: its name.
            folder: in its container ``files``.
            into: where it is put.
            log: as for ``fetch_folder``.

        Returns:
            Whether it came.
        """
        try:
            fetch_folder(self._api.run, pod, layout.FILES, str(folder), into, log=log)
        except (ApiError, OSError) as error:
            self._warn(f"{folder} of {pod} could not be brought back: {error}")
            return False
        return True

    def _stdin(self) -> int | None:
        """What is attached to the run."""
        try:
            file = taken(self._folder)
        except TimeoutError:
            self._warn(NOT_ANSWERED)
            return None
        told = begin_anew(self._folder, file) if file is not None else ""
        if told:
            self._warn(told)
        return file
