"""Waiting until a cluster is no longer what one has seen of it, without reading it all the time."""

from __future__ import annotations

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.records import Cluster
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.waiting import wait_until


class Watch:
    """One cluster as the store knows it. A look costs little while nobody writes to the store."""

    def __init__(self, store: RunStore, cluster: ClusterId):
        self._store = store
        self._cluster = cluster
        self._version: int | None = None
        self._found: Cluster | None = None
        self._view: ClusterView | None = None

    def until_it_differs(self, seen: ClusterView | None, timeout_s: float) -> ClusterView | None:
        """What is as soon as it is not ``seen``, or what is after ``timeout_s`` seconds."""
        if wait_until(lambda: self._look() != seen, timeout_s=timeout_s):
            return self._view
        return view_of(self._store.cluster(self._cluster))  # also of a store that was replaced

    def _look(self) -> ClusterView | None:
        version = self._store.version()  # before reading: what is written after it is seen next
        if version != self._version:
            self._version = version
            found = self._store.cluster(self._cluster)
            if not _same_view(found, self._found):
                self._view = view_of(found)
            self._found = found
        return self._view


def view_of(found: Cluster | None) -> ClusterView | None:
    """The owner's last word, and the end of it; None of a cluster that is not known."""
    return found.released_view if found is not None else None


def _same_view(one: Cluster | None, other: Cluster | None) -> bool:
    """Whether both give the same view; without building one. A renewal changes none."""
    if one is None or other is None:
        return one is other
    return (one.view_json, one.released_at) == (other.view_json, other.released_at)
