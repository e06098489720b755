"""Clusters in the ConfigMaps of their runs, and their renewals on the Leases.

A cluster's Lease is made and deleted by the platform, not here. Where there is none yet, renewals
are written into the record.
"""

from __future__ import annotations

from dataclasses import replace

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.orders import Order, Orders
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import (
    NO_LIMITS,
    Cluster,
    Entry,
    LeaseState,
    PoolUse,
    Run,
    RunLimits,
)
from ebbtide.infra.models.resources import NOTHING
from ebbtide.infra.platforms.kubernetes.clusters.fencing import Standing
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.records.encoding import KEY, Record, digest
from ebbtide.infra.platforms.kubernetes.records.records import GOES_ON, Records, run_with
from ebbtide.infra.platforms.kubernetes.spelling import unix_time
from ebbtide.infra.waiting import wall_s

_MICRO = 1_000_000


class ClusterRecords(Records):
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
        """Add a cluster to its run's record; added again, nothing changes."""
        if run_with(cluster) != run:
            raise ValueError(f"a cluster of {run} is called {run}-ATTEMPT, not {cluster}")
        new = Cluster(
            id=cluster,
            run=run,
            attempt=attempt,
            pool=pool,
            state=LeaseState.QUEUED,
            renewals=0,
            beat_at=0.0,
            lease_s=lease_s,
            created=wall_s(),
            limits=limits,
            claimed=True,
        )

        def edited(record: Record) -> Record | None:
            known = record.place_of(cluster) is not None
            return None if known else replace(record, clusters=[*record.clusters, new])

        self.change(run, edited)

    def cluster(self, cluster: ClusterId) -> Cluster | None:
        """Return the cluster of this id."""
        record = self.record(run_with(cluster))
        place = None if record is None else record.place_of(cluster)
        return None if record is None or place is None else self._renewed(record.clusters[place])

    def last_cluster(self, run: RunName) -> Cluster | None:
        """Return the latest cluster of a run."""
        record = self.record(run)
        if record is None or not record.clusters:
            return None
        return self._renewed(record.clusters[-1])

    def clusters_of(self, run: RunName | None = None) -> list[ClusterId]:
        """Return the ids of all clusters of a run, or of all runs, oldest first."""
        if run is None:
            found = [cluster for record in self.records() for cluster in record.clusters]
            return [cluster.id for cluster in sorted(found, key=_age)]
        record = self.record(run)
        return [] if record is None else [cluster.id for cluster in record.clusters]

    def living_clusters(self, run: RunName | None = None) -> list[Cluster]:
        """Return the clusters that are not released yet, oldest first."""
        if run is None:
            return [cluster for cluster, _ in self.living_with_runs()]
        record = self.record(run)
        return [] if record is None else [self._renewed(cluster) for cluster in record.living]

    def living_with_runs(self) -> list[tuple[Cluster, Run]]:
        """Return the clusters that are not released yet, each with its run: two requests."""
        records = [record for record in self.records(GOES_ON) if record.living]
        leases = self.objects.leases() if records else {}
        found = [
            (_with_lease(cluster, leases.get(cluster.id)), record.run)
            for record in records
            for cluster in record.living
        ]
        return sorted(found, key=lambda pair: _age(pair[0]))

    def pool_use(self, pool: str) -> PoolUse:
        """Return who waits for nodes of a pool and who has some, for limits on runs at once.

        The nodes' use is left out: the scheduler and the quota count it.
        """
        waiting: list[Entry] = []
        holding: list[Entry] = []
        records = [record for record in self.records(GOES_ON) if record.living]
        living = [(cluster, record.run) for record in records for cluster in record.living]
        for cluster, run in sorted(living, key=lambda pair: _age(pair[0])):
            if cluster.pool == pool:
                queued = cluster.state is LeaseState.QUEUED
                (waiting if queued else holding).append(_entry(cluster, run))
        return PoolUse(waiting=tuple(waiting), holding=tuple(holding), used=NOTHING)

    def orders_of(self, key: str) -> list[Orders]:
        """Return the orders to each cluster of the runs of the job with this key."""
        found = [one for one in self.records({KEY: digest(key)}) if one.run.key == key]
        return [cluster.orders for record in found for cluster in record.clusters]

    def order(self, cluster: ClusterId, order: Order) -> None:
        """Tell the cluster's owner what is wanted. Orders add up; the same one twice is one."""
        self.change_cluster(
            cluster, lambda known: replace(known, orders_json=to_json(known.orders.plus(order)))
        )

    def write_view(self, view: ClusterView) -> None:
        """Record what the cluster's owner sees now. With all its nodes it leaves the queue."""

        def edited(known: Cluster) -> Cluster:
            seen = replace(known, view_json=to_json(view))
            if view.admitted_at is not None and known.state is LeaseState.QUEUED:
                return replace(seen, state=LeaseState.ADMITTED)
            return seen

        self.change_cluster(view.cluster, edited)

    def renew(self, cluster: ClusterId, lease_s: float | None = None) -> bool:
        """Renew the Lease as its holder: one request. False while another process holds it."""
        standing = self.objects.claim_lease(cluster, lease_s)
        if standing is not Standing.GONE:
            return standing is Standing.DRIVES
        return self._renew_in_record(cluster, wall_s(), lease_s)

    def mark_released(self, cluster: ClusterId, *, by: str, reason: Reason | None = None) -> bool:
        """Record that nothing of the cluster is left. True the first time."""
        at = wall_s()

        def edited(known: Cluster) -> Cluster:
            if known.released:
                return known
            end = replace(known, released_at=at, released_by=by, release_reason=reason)
            return replace(end, state=LeaseState.RELEASED)

        return self.change_cluster(cluster, edited)

    def _renew_in_record(self, cluster: ClusterId, at: float, lease_s: float | None) -> bool:
        """Where there is no Lease yet. One that was seen and has gone is not renewed."""

        def edited(known: Cluster) -> Cluster:
            if known.released or known.view is not None:
                return known
            duration_s = known.lease_s if lease_s is None else lease_s
            return replace(known, renewals=known.renewals + 1, beat_at=at, lease_s=duration_s)

        return self.change_cluster(cluster, edited)

    def _renewed(self, cluster: Cluster) -> Cluster:
        """With what its Lease says, as long as it has one."""
        return cluster if cluster.released else _with_lease(cluster, self.objects.lease(cluster.id))


def _with_lease(cluster: Cluster, lease: Object | None) -> Cluster:
    """Renewals are counted in microseconds: no number has to be read before it is written."""
    spec = (lease or {}).get("spec") or {}
    duration_s = float(spec.get("leaseDurationSeconds") or cluster.lease_s)
    if not spec.get("renewTime"):
        return replace(cluster, lease_s=duration_s)
    at = unix_time(spec["renewTime"])
    return replace(cluster, renewals=round(at * _MICRO), beat_at=at, lease_s=duration_s)


def _age(cluster: Cluster) -> tuple[float, str]:
    return cluster.created, cluster.id


def _entry(cluster: Cluster, run: Run) -> Entry:
    return Entry(
        cluster=cluster.id,
        run=run.name,
        tier=cluster.limits.tier,
        owner=run.owner,
        max_tier_runs=cluster.limits.max_tier_runs,
        max_owner_runs=cluster.limits.max_owner_runs,
    )
