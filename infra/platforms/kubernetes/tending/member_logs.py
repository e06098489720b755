"""Keeps what head and workers print to its end, also of workers that leave.

A log can be read until its pod's object goes: of a pod that leaves it is followed from the moment
that it is told to, of all others it is read before the release.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ebbtide.infra.files.private import private_opener
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot, leaving, role

LOG_BYTES = 16 * 2**20
"""Of each log the end is kept; its kubelet keeps about ten."""
_DRAIN_S = 3600.0
"""Between two lines of a worker that leaves: it drains for as long as its tier allows."""
_SIDE_BY_SIDE = 8
_MEMBERS = ("head", "worker")


class MemberLogs:
    """Of one cluster, in the run's folder: ``head.log``, ``worker-0.log`` and so on."""

    def __init__(self, api: Api, folder: Path):
        self._api, self._folder = api, folder
        self._followed: dict[str, threading.Thread] = {}
        """By the pod's uid."""

    def tick(self, snapshot: Snapshot, names: Mapping[str, str]) -> None:
        """Follow the logs of pods that have been told to leave.

        Args:
            snapshot: of the cluster.
            names: by which its workers' pods are known.
        """
        for pod in snapshot.pods:
            uid = pod["metadata"]["uid"]
            if leaving(pod) and role(pod) in _MEMBERS and uid not in self._followed:
                thread = threading.Thread(target=self._follow, args=(pod, names), daemon=True)
                self._followed[uid] = thread
                thread.start()

    def collect(self, snapshot: Snapshot, names: Mapping[str, str]) -> None:
        """Read the logs of all that are there, side by side.

        Args:
            snapshot: of the cluster.
            names: by which its workers' pods are known.
        """
        members = [
            pod
            for pod in snapshot.pods
            if role(pod) in _MEMBERS and pod["metadata"]["uid"] not in self._followed
        ]
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            list(pool.map(lambda pod: self._fetch(pod, names), members))

    def _fetch(self, pod: Object, names: Mapping[str, str]) -> None:
        path = self._path(pod, names)
        draft = path.with_name(f"{path.name}.draft")
        with contextlib.suppress(ApiError, OSError):
            with open(draft, "wb", opener=private_opener) as file:
                for piece in self._api.logs(_name(pod), role(pod), tail_bytes=LOG_BYTES):
                    file.write(piece)
            draft.rename(path)
        draft.unlink(missing_ok=True)

    def _follow(self, pod: Object, names: Mapping[str, str]) -> None:
        path = self._path(pod, names)
        with (
            contextlib.suppress(ApiError, OSError),
            open(path, "wb", buffering=0, opener=private_opener) as file,
        ):
            log = self._api.logs(_name(pod), role(pod), follow=True, timeout_s=_DRAIN_S)
            for piece in log:
                file.write(piece)

    def _path(self, pod: Object, names: Mapping[str, str]) -> Path:
        name = _name(pod)
        return self._folder / f"{names.get(name, role(pod))}.log"


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
