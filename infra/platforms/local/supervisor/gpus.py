"""The GPUs that members of a cluster on this machine hold: each sees its own, and no others."""

from __future__ import annotations

from ebbtide.infra.models.hardware import VISIBLE_GPUS, NodePool
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.records.ledger import Ledger


class HeldGpus:
    """By the owners of the cluster's shares, as they were handed out with these."""

    def __init__(self, pool: NodePool, ledger: Ledger, cluster: ClusterId):
        self._pool = pool
        self._ledger = ledger
        self._cluster = cluster
        self._held: dict[str, tuple[str, ...]] = {}

    def of(self, owner: str) -> tuple[str, ...]:
        """The GPUs of one owner, by their UUIDs. Remembered: the ledger may be lost later."""
        if self._pool.devices and owner not in self._held:
            self._held[owner] = self._ledger.devices(self._cluster).get(owner, ())
        return self._held.get(owner, ())

    def variables(self, owner: str) -> dict[str, str]:
        """What makes a process see those; nothing where no GPUs are handed out.

        Whoever has none sees none: each is somebody else's, or free for the next.
        """
        return {VISIBLE_GPUS: ",".join(self.of(owner))} if self._pool.devices else {}
