"""Which logs of head and workers are read, and when.

A log can be read until its pod's object goes: of a pod that leaves it is followed from the moment
that it is told to; what a container printed that was started again is read at once, because its
node keeps but one; of all others it is read before the release.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.failures import out_of_reach
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    HEAD,
    WORKER,
    Snapshot,
    node_of,
    role,
)
from ebbtide.infra.platforms.kubernetes.tending.logs.copy import LogCopy, Target
from ebbtide.infra.waiting import now_s

_PATIENCE_S = 10.0
"""For a log that cannot be read before the release, such as of a node that is lost."""
_SIDE_BY_SIDE = 8
_MEMBERS = (HEAD, WORKER)


class MemberLogs:
    """Of one cluster, in the run's folder: ``head.log``, ``worker-0.log`` and so on."""

    def __init__(self, api: Api, folder: Path, tell: Callable[[str], None]):
        """Read nothing yet.

        Args:
            api: of the namespace.
            folder: of the run.
            tell: called with a sentence, from any thread, where a log is not whole.
        """
        self._api, self._folder, self._tell = api, folder, tell
        self._copies: dict[str, LogCopy] = {}
        """By the pod's uid."""
        self._there: set[str] = set()
        self._lock, self._over = threading.Lock(), False

    def tick(self, snapshot: Snapshot, names: Mapping[str, str]) -> None:
        """Begin to read what could not be read later.

        Args:
            snapshot: of the cluster.
            names: by which its workers' pods are known.
        """
        members = _members(snapshot)
        with self._lock:
            if self._over:
                return
            for pod in members.values():
                self._copy(pod, names).look(pod)
            for uid in self._there - members.keys():
                if not snapshot.releasing:
                    self._copies[uid].gone()
            self._there = set(members)

    def collect(self, snapshot: Snapshot, names: Mapping[str, str]) -> None:
        """Read the logs of all that are there to their end, side by side.

        Args:
            snapshot: of the cluster.
            names: by which its workers' pods are known.
        """
        with self._lock:
            self._over = True
            members = [(self._copy(pod, names), pod) for pod in _members(snapshot).values()]
        members = [(copy, pod) for copy, pod in members if not self._out_of_reach(copy, pod)]
        until_s = now_s() + _PATIENCE_S
        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            for copy, pod in members:
                pool.submit(copy.finish, pod, until_s)

    def _out_of_reach(self, copy: LogCopy, pod: Object) -> bool:
        """Whether nothing can be read because its node does not answer, which is told then."""
        lost = out_of_reach(pod)
        if lost:
            copy.stop()
            why = f"its node {node_of(pod)} does not answer"
            self._tell(f"the log of {copy.name} is not whole: {why}")
        return lost

    def stop(self) -> None:
        """Read no more: another process does."""
        with self._lock:
            self._over = True
        for copy in self._copies.values():
            copy.stop()

    def _copy(self, pod: Object, names: Mapping[str, str]) -> LogCopy:
        meta = pod["metadata"]
        if meta["uid"] not in self._copies:
            path = self._folder / f"{names.get(meta['name'], role(pod))}.log"
            self._copies[meta["uid"]] = LogCopy(self._api, Target(pod, path, self._tell))
        return self._copies[meta["uid"]]


def _members(snapshot: Snapshot) -> dict[str, Object]:
    """Head and workers, by their pods' uids."""
    return {pod["metadata"]["uid"]: pod for pod in snapshot.pods if role(pod) in _MEMBERS}
