"""One pod's log as a file: of the container that runs, and before it of those that it replaced."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.cuts import Cut, make_cut
from ebbtide.infra.files.private import private_opener, write_whole
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import NOT_FOUND, ApiError
from ebbtide.infra.platforms.kubernetes.client import Hangup
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    leaving,
    main,
    main_name,
    state,
)
from ebbtide.infra.platforms.kubernetes.tending.logs.position import Position
from ebbtide.infra.waiting import now_s, pause

LOG_BYTES = 16 * 2**20
"""Of each log the end is kept; its kubelet keeps about ten."""
_SPARE_BYTES = 2**20
_QUIET_S = 3600.0
"""Between two lines of a worker that leaves: it drains for as long as its tier allows."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 2.0
_LONGEST_AWAY_S = 10.0
"""Of a node that is lost the pods stay until the release: they are not asked for every second."""
_OVER = ("Failed", "Succeeded")
_STOP_S = 3.0
_NOT_BEGUN = 400
"""What the API server answers while a container is made, and where there was none before it."""
_UNREADABLE = 503
_UNWRITABLE = 507


@dataclass(frozen=True, slots=True)
class Target:
    """Whose log is kept, where, and who is told what is missing."""

    pod: Object
    path: Path
    tell: Callable[[str], None]
    """From any thread."""

    @property
    def name(self) -> str:
        """Of the head or the worker, for people."""
        return self.path.stem


class LogCopy:
    """Nothing is read before it must be: when its container is another one, or its pod goes."""

    def __init__(self, api: Api, target: Target):
        meta = target.pod["metadata"]
        self._api, self._target = api, target
        self._pod, self._uid, self._container = meta["name"], meta["uid"], main_name(target.pod)
        self._position, self._hangup = Position(), Hangup()
        self._note = target.path.with_name(f".{target.path.name}.json")
        self._kept, self._bytes = self._before()
        """How many containers were there before the one that is read now, and their logs' end."""
        self._restarts = 0
        self._thread: threading.Thread | None = None
        self._began = self._whole = self._noted = False
        self._closed, self._rest = False, b""
        """Whether its node has ended the answer, and the piece of a line that stood at its end."""

    @property
    def name(self) -> str:
        """Of the head or the worker, for people."""
        return self._target.name

    def look(self, pod: Object) -> None:
        """Begin what the pod's state asks for, in a thread.

        Args:
            pod: as it is now.
        """
        self._see(pod)
        if self._thread is not None and self._thread.is_alive():
            return
        if goes(pod) and not self._whole:
            self._start(self._follow)
        elif self._restarts > self._kept:
            self._start(self._keep_previous)

    def gone(self) -> None:
        """Its pod is not there any more: a log that nobody had begun to read is lost."""
        if self._began and self._thread is None and not self._whole:
            self._miss("its pod went before it could be read")

    def finish(self, pod: Object, until_s: float) -> None:
        """Read all that there still is; nothing follows.

        Args:
            pod: as it was last seen.
            until_s: when to give up what cannot be read, on ``now_s``.
        """
        if not self.stop():
            self._miss("its end could not be read in time")
            return
        if self._whole:
            return
        self._hangup = Hangup()
        self._see(pod)
        if self._restarts > self._kept:
            self._keep_previous(until_s)
        self._read_end(until_s)

    def stop(self) -> bool:
        """Read no more. Returns whether the thread has ended."""
        self._hangup.hang_up()
        if self._thread is not None:
            self._thread.join(_STOP_S)
        return self._thread is None or not self._thread.is_alive()

    def _see(self, pod: Object) -> None:
        self._restarts = max(self._restarts, restarts(pod))
        self._began = self._began or self._restarts > 0 or _has_begun(pod)

    def _start(self, work: Callable[[], None]) -> None:
        name = f"log of {self._pod}"
        self._thread = threading.Thread(target=work, name=name, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        """Until the pod's container has ended, or its pod has gone."""
        wait_s = _FIRST_PAUSE_S
        while True:
            if self._restarts > self._kept:
                self._keep_previous()
            failure = self._read(follow="true")
            if self._hangup.done:
                return
            try:
                pod = self._now()
            except ApiError as error:  # it has been asked for as long as the API server may be away
                if not error.passing:
                    self._miss_end(error)
                    return
                continue
            if pod is None:
                self._whole = True
                self._end_without_pod(failure)
                return
            if _has_ended(pod):
                self._read_end(now_s() + self._api.patience_s)
                return
            wait_s = _FIRST_PAUSE_S if failure is None else min(2 * wait_s, _LONGEST_AWAY_S)
            pause(wait_s)

    def _read_end(self, until_s: float) -> None:
        """Of a container that prints no more, or is about to be ended."""
        failure = self._persist(until_s, last=True)
        self._whole = not self._hangup.done
        if failure is None and self._position.unmet:
            self._mark_gap()
        if failure is not None and failure.status != _NOT_BEGUN:
            self._end_without_pod(failure)

    def _end_without_pod(self, failure: ApiError | None) -> None:
        """A node ends an answer that is followed when the container has: then nothing is missing.

        Between that and the next question the pod may go.
        """
        if self._closed and (failure is None or failure.status == NOT_FOUND):
            with contextlib.suppress(OSError):
                self._write([self._rest.partition(b" ")[2]] if self._rest else [])
        elif failure is not None and self._began:
            self._miss_end(failure)

    def _miss_end(self, failure: ApiError) -> None:
        self._miss(f"its end could not be read: {failure.message}")

    def _keep_previous(self, until_s: float | None = None) -> None:
        """Read the log of the container before this one; of earlier ones there is none."""
        until_s = now_s() + self._api.patience_s if until_s is None else until_s
        failure: ApiError | None = None
        start = self._bytes
        while True:
            count = self._restarts
            if count - self._kept > 1:
                self._position = Position()
                self._miss(f"{count - self._kept - 1} earlier starts of it are not kept")
            failure = self._persist(until_s, last=True, previous="true")
            with contextlib.suppress(ApiError):
                self._restarts = max(self._restarts, restarts(self._now() or {}))
            if self._restarts == count or now_s() > until_s:
                break
            self._bytes = start  # it was started again meanwhile: this may have been either's
        if failure is not None and not self._hangup.done:
            self._miss(f"what it printed before it was started again is lost: {failure.message}")
        self._position, self._kept = Position(), self._restarts
        self._write_note()

    def _persist(self, until_s: float, *, last: bool, **options: str) -> ApiError | None:
        """Read an answer to its end, and again from there when it broke. Returns why it did not."""
        wait_s = _FIRST_PAUSE_S
        while True:
            failure = self._read(last=last, **options)
            if failure is None or not failure.passing:
                return failure
            if self._hangup.done or now_s() + wait_s > until_s:
                return failure
            pause(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_PAUSE_S)

    def _read(self, *, last: bool = False, **options: str) -> ApiError | None:
        """Read one answer. A line without its end is kept only of a container that has ended."""
        self._position.resume()
        since = self._position.since
        query = {"timestamps": "true", **options, **({"sinceTime": since} if since else {})}
        quiet = {"timeout_s": _QUIET_S} if "follow" in options else {}
        rest = b""
        try:
            log = self._api.logs(self._pod, self._container, query, hangup=self._hangup, **quiet)
            for piece in log:
                *lines, rest = (rest + piece).split(b"\n")
                self._put([line + b"\n" for line in lines])
            self._put([rest] if rest and last else [])
        except ApiError as error:
            self._closed = self._closed and error.status == NOT_FOUND
            return error
        except OSError as error:  # the disk is full
            return ApiError(_UNWRITABLE, type(error).__name__, str(error))
        self._closed, self._rest = "follow" in options, rest
        return None

    def _put(self, lines: list[bytes]) -> None:
        """Append what is new of an answer.

        Raises:
            ApiError: it is no log, but the kubelet's word for why there is none.
            OSError: it cannot be written.
        """
        new: list[bytes] = []
        for line in lines:
            try:
                text = self._position.take(line)
            except ValueError:
                said = line.decode(errors="replace").strip()
                self._write(new)
                raise ApiError(_UNREADABLE, "NoLog", said) from None
            if self._position.lost:
                self._write(new)
                new = []
                self._mark_gap()
            if text is not None:
                new.append(text)
        self._write(new)

    def _write(self, texts: list[bytes]) -> None:
        if not texts:
            return
        if not self._noted:
            self._write_note()
        data = b"".join(texts)
        with open(self._target.path, "ab", opener=private_opener) as file:
            file.truncate(self._bytes)
            file.write(data)
        before, self._bytes = self._bytes, self._bytes + len(data)
        over = self._bytes - LOG_BYTES
        if over // _SPARE_BYTES > max(0, before - LOG_BYTES) // _SPARE_BYTES:
            make_cut(self._target.path, Cut(0, over, LOG_BYTES))

    def _mark_gap(self) -> None:
        """Say where lines may be missing, in the log and to whoever drives the run."""
        self._miss("its node keeps the newest 10 MiB, and had taken away lines not read yet")
        with contextlib.suppress(OSError):
            self._write([b"... lines are missing here ...\n"])

    def _miss(self, why: str) -> None:
        self._target.tell(f"the log of {self._target.name} is not whole: {why}")

    def _now(self) -> Object | None:
        """The pod as it is; None when it has gone, or is another of its name."""
        pod = self._api.get(POD, self._pod)
        return pod if pod is not None and pod["metadata"]["uid"] == self._uid else None

    def _before(self) -> tuple[int, int]:
        """What another process has kept of it.

        Behind the log of a pod that had its name, as in an earlier attempt, it begins.
        """
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads(self._note.read_text())
            if told["uid"] == self._uid:
                return int(told["kept"]), int(told["bytes"])
        with contextlib.suppress(OSError):
            return 0, self._target.path.stat().st_size
        return 0, 0

    def _write_note(self) -> None:
        self._noted = True
        told = {"uid": self._uid, "kept": self._kept, "bytes": self._bytes}
        with contextlib.suppress(OSError):
            write_whole(self._note, json.dumps(told))


def restarts(pod: Object) -> int:
    """How many containers there were before the one that runs."""
    status = main(pod) if "metadata" in pod else None
    return int((status or {}).get("restartCount", 0))


def goes(pod: Object) -> bool:
    """Whether its log can soon be read no more: it is being deleted, or its node clears it away."""
    phase = pod.get("status", {}).get("phase")
    return leaving(pod) or phase in _OVER


def _has_begun(pod: Object) -> bool:
    return state(pod, "running") is not None or state(pod, "terminated") is not None


def _has_ended(pod: Object) -> bool:
    over = state(pod, "terminated") is not None or main(pod) is None
    return goes(pod) and (over or pod["status"]["phase"] in _OVER)
