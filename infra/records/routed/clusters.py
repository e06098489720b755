"""Clusters of two stores."""

from __future__ import annotations

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.orders import Order, Orders
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import NO_LIMITS, Cluster, Run, RunLimits, Share
from ebbtide.infra.records.routed.place import Routed


class RoutedClusters(Routed):
    """See ``infra.records.store.Clusters``."""

    def add_cluster(
        self,
        cluster: ClusterId,
        run: RunName,
        *,
        attempt: int,
        pool: str,
        lease_s: float,
        limits: RunLimits = NO_LIMITS,
    ) -> None:
        """Add a cluster where its run is; added again, nothing changes."""
        self.of_run(run).add_cluster(
            cluster, run, attempt=attempt, pool=pool, lease_s=lease_s, limits=limits
        )

    def cluster(self, cluster: ClusterId) -> Cluster | None:
        """Return the cluster of this id."""
        return self.of_cluster(cluster).cluster(cluster)

    def last_cluster(self, run: RunName) -> Cluster | None:
        """Return the latest cluster of a run."""
        return self.of_run(run).last_cluster(run)

    def clusters_of(self, run: RunName | None = None) -> list[ClusterId]:
        """Return the ids of all clusters of a run, or of all runs, those of this machine first."""
        if run is not None:
            return self.of_run(run).clusters_of(run)
        return self.both(lambda store: store.clusters_of())

    def living_clusters(self, run: RunName | None = None) -> list[Cluster]:
        """Return the clusters that are not released yet, oldest first."""
        if run is not None:
            return self.of_run(run).living_clusters(run)
        found = self.both(lambda store: store.living_clusters())
        return sorted(found, key=lambda cluster: cluster.created)

    def living_with_runs(self) -> list[tuple[Cluster, Run]]:
        """Return the clusters that are not released yet, oldest first, each with its run."""
        found = self.both(lambda store: store.living_with_runs())
        return sorted(found, key=lambda pair: pair[0].created)

    def orders_of(self, key: str) -> list[Orders]:
        """Return the orders to each cluster of the runs of the job with this key."""
        return self.both(lambda store: store.orders_of(key))

    def order(self, cluster: ClusterId, order: Order) -> None:
        """Tell the cluster's owner what is wanted. Orders add up; the same one twice is one."""
        self.of_cluster(cluster).order(cluster, order)

    def write_view(self, view: ClusterView) -> None:
        """Record what the cluster's owner sees now; the view names its cluster."""
        self.of_cluster(view.cluster).write_view(view)

    def renew(self, cluster: ClusterId, lease_s: float | None = None) -> bool:
        """Renew the lease once, and set how long it lasts from now on."""
        return self.of_cluster(cluster).renew(cluster, lease_s)

    def mark_released(self, cluster: ClusterId, *, by: str, reason: Reason | None = None) -> bool:
        """Record that nothing of the cluster is left. True the first time."""
        return self.of_cluster(cluster).mark_released(cluster, by=by, reason=reason)

    def shares(self) -> list[Share]:
        """Return all shares of pools, those of this machine first."""
        return self.both(lambda store: store.shares())

    def shares_of(self, run: RunName) -> list[str]:
        """Return the owners of the shares that a run's clusters hold."""
        return self.of_run(run).shares_of(run)
