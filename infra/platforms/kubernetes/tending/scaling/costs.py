"""Which worker the ReplicaSet lets go first: its pod's deletion cost follows what it has to do.

The order is that of ``infra.policy.scaling.choose_leavers``: the idlest first, and one that holds
what cannot move last. Pods that are not ready go before all others, whatever they cost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping

from ebbtide.infra.frameworks.base import FrameworkStatus, WorkerStatus
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object
from ebbtide.infra.waiting import now_s

COST = "controller.kubernetes.io/pod-deletion-cost"
IDLE = 0
"""What a pod without the annotation costs."""
STORES = 10
"""And up to 9 more, by how much it stores: so much has to move."""
RUNS = 1_000
"""Beside what it stores. Its drain lasts as long as its tasks, and no longer than its budget."""
STAYS = 1_000_000
STAYS_FOR_NOW = 100_000
"""One whose reason passes by itself: where one of both must go, it loses less."""
_CALM_S = 5.0
"""A worker costs less only after it has been so for a while: between two short tasks it is idle."""
_MAGNITUDE_BITS = 4
"""Sixteen times as much stored is one more, so that a growing store is not written every second."""


def cost_of(worker: WorkerStatus) -> int:
    """What it costs to let a worker go, in no unit: only the order counts."""
    if worker.stays_because:
        return STAYS_FOR_NOW if worker.stays_for_now else STAYS
    cost = IDLE
    if worker.stored_bytes:
        cost += STORES + min(9, worker.stored_bytes.bit_length() // _MAGNITUDE_BITS)
    if worker.running or worker.queued:
        cost += RUNS
    return cost


class DeletionCosts:
    """Keeps the annotation of each worker's pod as it should be, and writes only what is new."""

    def __init__(self, api: Api):
        """Write nothing yet. ``api`` is of the namespace."""
        self._api = api
        self._written: dict[str, int] = {}
        self._high: dict[str, tuple[int, float]] = {}

    def tick(self, pods: Iterable[Object], status: FrameworkStatus) -> None:
        """Write what is new.

        Args:
            pods: of the workers.
            status: the head's answer, with workers by the names of their pods.
        """
        there = {pod["metadata"]["name"]: pod["metadata"] for pod in pods}
        for name in self._written.keys() - there:
            del self._written[name]
            self._high.pop(name, None)
        for name, worker in status.workers.items():
            metadata = there.get(name)
            if metadata is not None and "deletionTimestamp" not in metadata:
                self._set(name, metadata, self._calmed(name, cost_of(worker)))

    def _set(self, name: str, metadata: Mapping[str, object], cost: int) -> None:
        """Compare with what was written last: the watch may not have brought it back yet."""
        if name not in self._written:
            annotations = metadata.get("annotations") or {}
            assert isinstance(annotations, dict)
            self._written[name] = int(annotations.get(COST, IDLE))
        if self._written[name] == cost:
            return
        with contextlib.suppress(ApiError):  # it is tried again at the next tick
            self._api.merge(POD, name, {"metadata": {"annotations": {COST: str(cost)}}})
            self._written[name] = cost

    def _calmed(self, name: str, cost: int) -> int:
        """The highest cost of the last seconds."""
        high, at_s = self._high.get(name, (cost, 0.0))
        if cost >= high or now_s() - at_s > _CALM_S:
            self._high[name] = (cost, now_s())
            return cost
        return high
