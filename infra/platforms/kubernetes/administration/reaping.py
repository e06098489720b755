"""What the reaper of a namespace sees, at the price of one watch: the Leases of all clusters.

Does not belong here: when it looks, and what becomes of runs (``infra.lifecycle.reaping``).
"""

from __future__ import annotations

import threading
from typing import cast

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Cluster
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, translated
from ebbtide.infra.platforms.kubernetes.clusters import holdings
from ebbtide.infra.platforms.kubernetes.clusters.fencing import judge_anew, judged
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import LEASE, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, ROLE
from ebbtide.infra.platforms.kubernetes.platform import KubernetesPlatform
from ebbtide.infra.platforms.kubernetes.reading.feed import Feed, Listener
from ebbtide.infra.platforms.kubernetes.records.records import GOES_ON
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings

_LEASES = {CLUSTER: "*", ROLE: "cluster"}


class Namespace:
    """The namespace of this pod, or the one that is in use; a context manager that watches it."""

    def __init__(self, settings: Settings):
        self._api = connected(settings)
        # A reaper is often started by what has ended an outage, such as a node that is back.
        self._api.silence.presume()
        # A pod has no runs of its own machine: that half of the records is never opened.
        self.store = cast(KubernetesStore, open_store(settings).elsewhere())
        self.platform = KubernetesPlatform(settings, self.store)
        self.trouble: ApiError | None = None
        """Why the Leases cannot be watched; None: they are."""
        self._leases: dict[str, Object] = {}
        self._lock = threading.Lock()
        self._suspects: set[ClusterId] = set()
        listener = Listener(self._listed, self._changed, self._failed)
        self._feed = Feed(self._api, LEASE, _LEASES, listener)

    def __enter__(self) -> Namespace:
        self._feed.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._feed.stop()

    @property
    def name(self) -> str:
        """The namespace's."""
        return self._api.namespace

    def expired(self) -> list[ClusterId]:
        """List the clusters whose Lease has stayed unchanged for its duration; asks nothing.

        While the API server is away, nobody could have renewed a Lease: none has expired then.
        """
        with self._lock:
            leases = list(self._leases.values())
        if self.trouble is not None:
            judge_anew()
            return []
        return [ClusterId(each["metadata"]["name"]) for each in leases if judged(each)]

    def without_lease(self) -> list[ClusterId]:
        """List the clusters whose Lease is gone and of which something is left, seen twice.

        What is being released is seen once. Objects are listed first: each is younger than its
        Lease.
        """
        with translated("look for what has no Lease"):
            present = holdings.present(self._api, holdings.OWNED)
            leases = holdings.found(self._api, None, (LEASE,))
        found = present - {ClusterId(lease["metadata"]["name"]) for lease in leases}
        seen_twice, self._suspects = found & self._suspects, found
        return sorted(seen_twice)

    def left_open(self) -> list[tuple[RunName, Cluster]]:
        """List the runs that go on without a cluster since a reaper took the last one away."""
        return [
            (record.run.name, record.clusters[-1])
            for record in self.store.records(GOES_ON)
            if not record.run.over
            and record.clusters
            and not record.living
            and record.clusters[-1].released_by == "reaper"
        ]

    def _listed(self, leases: list[Object]) -> None:
        with self._lock:
            self._leases = {each["metadata"]["name"]: each for each in leases}

    def _changed(self, what: str, lease: Object) -> None:
        name = lease["metadata"]["name"]
        with self._lock:
            self._leases.pop(name, None)
            if what != "DELETED":
                self._leases[name] = lease

    def _failed(self, error: ApiError | None) -> None:
        self.trouble = error
