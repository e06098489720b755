"""The table of clusters: each a lease, with what is wanted of it and what its owner saw last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.codec import from_json, to_json
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.orders import Order, Orders
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import NO_LIMITS, Cluster, ProcessRef, Run, RunLimits, Share
from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.records.sqlite.rows import CLAIMED, cluster_of, row_of_share, run_of
from ebbtide.infra.waiting import wall_s


class ClusterTable(Database):
    """The table of clusters. See ``infra.records.store.Clusters``."""

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
        """Add a cluster at the end of its pool's queue; added again, nothing changes."""
        self.write(
            "INSERT OR IGNORE INTO clusters (id, run, attempt, pool, tier, tier_most, owner_most,"
            " state, beat, lease_s, orders, view, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 'queued', 0, ?, '{}', '{}', ?)",
            cluster,
            run,
            attempt,
            pool,
            limits.tier,
            limits.max_tier_runs,
            limits.max_owner_runs,
            lease_s,
            wall_s(),
        )

    def cluster(self, cluster: ClusterId) -> Cluster | None:
        """Return the cluster of this id."""
        row = self.row("SELECT * FROM clusters WHERE id = ?", cluster)
        return None if row is None else cluster_of(row)

    def last_cluster(self, run: RunName) -> Cluster | None:
        """Return the latest cluster of a run."""
        row = self.row("SELECT * FROM clusters WHERE run = ? ORDER BY seq DESC LIMIT 1", run)
        return None if row is None else cluster_of(row)

    def clusters_of(self, run: RunName | None = None) -> list[ClusterId]:
        """Return the ids of all clusters of a run, or of all runs, oldest first."""
        if run is None:
            rows = self.rows("SELECT id FROM clusters ORDER BY seq")
        else:
            rows = self.rows("SELECT id FROM clusters WHERE run = ? ORDER BY seq", run)
        return [row["id"] for row in rows]

    def living_clusters(self, run: RunName | None = None) -> list[Cluster]:
        """Return the clusters that are not released yet, oldest first."""
        if run is None:
            rows = self.rows("SELECT * FROM clusters WHERE released_at IS NULL ORDER BY seq")
        else:
            rows = self.rows(
                "SELECT * FROM clusters WHERE released_at IS NULL AND run = ? ORDER BY seq", run
            )
        return [cluster_of(row) for row in rows]

    def living_with_runs(self) -> list[tuple[Cluster, Run]]:
        """Return the clusters that are not released yet, oldest first, each with its run."""
        runs = {
            row["name"]: run_of(row)
            for row in self.rows(
                "SELECT * FROM runs WHERE name IN"
                " (SELECT run FROM clusters WHERE released_at IS NULL)"
            )
        }
        living = self.living_clusters()
        return [(cluster, runs[cluster.run]) for cluster in living if cluster.run in runs]

    def orders_of(self, key: str) -> list[Orders]:
        """Return the orders to each cluster of the runs of the job with this key."""
        rows = self.rows(
            "SELECT c.orders FROM clusters c JOIN runs r ON r.name = c.run WHERE r.job_key = ?",
            key,
        )
        return [from_json(Orders, row["orders"]) for row in rows]

    def update_cluster(self, cluster: ClusterId, **fields: Any) -> int:
        """Set columns of a cluster. Returns the number of rows changed: 0 for an unknown one."""
        settings = ", ".join(f"{column} = ?" for column in fields)
        return self.write(f"UPDATE clusters SET {settings} WHERE id = ?", *fields.values(), cluster)

    def write_view(self, view: ClusterView) -> None:
        """Record what the cluster's owner sees now; the view names its cluster."""
        self.update_cluster(view.cluster, view=to_json(view))

    def register_supervisor(self, cluster: ClusterId, process: ProcessRef) -> None:
        """Record that this process owns the cluster from now on."""
        self.update_cluster(cluster, supervisor_pid=process.pid, supervisor_started=process.started)

    def claim_cluster(self, cluster: ClusterId) -> bool:
        """Claim the right to start the cluster's supervisor. True for the first caller only."""
        sql = "UPDATE clusters SET supervisor_pid = ? WHERE id = ? AND supervisor_pid IS NULL"
        return self.write(sql, CLAIMED, cluster) > 0

    def renew(self, cluster: ClusterId, lease_s: float | None = None) -> bool:
        """Renew the lease once, and set how long it lasts from now on.

        Both happen in one statement, so that a judge never measures the old silence with the new
        duration. Returns False when there is no such living cluster.
        """
        changed = self.write(
            "UPDATE clusters SET beat = beat + 1, beat_at = ?, lease_s = coalesce(?, lease_s)"
            " WHERE id = ? AND released_at IS NULL",
            wall_s(),  # for people to read; a lease is judged by the beat on the judge's own clock
            lease_s,
            cluster,
        )
        return changed > 0

    def order(self, cluster: ClusterId, order: Order) -> None:
        """Tell the cluster's owner what is wanted. Orders add up; the same one twice is one."""
        with self.transaction() as connection:
            row = connection.execute(
                "SELECT orders FROM clusters WHERE id = ?", (cluster,)
            ).fetchone()
            if row is None:
                return
            connection.execute(
                "UPDATE clusters SET orders = ? WHERE id = ?",
                (_plus(row["orders"], order), cluster),
            )

    def mark_released(self, cluster: ClusterId, *, by: str, reason: Reason | None = None) -> bool:
        """Record that nothing of the cluster is left, its shares neither. True the first time."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM shares WHERE cluster = ?", (cluster,))
            changed = connection.execute(
                "UPDATE clusters SET released_at = ?, released_by = ?, release_reason = ?,"
                " state = 'released' WHERE id = ? AND released_at IS NULL",
                (wall_s(), by, reason.value if reason else None, cluster),
            )
            return changed.rowcount > 0

    def restore(self, run: Run, cluster: Cluster, shares: Iterable[Share]) -> None:
        """Write a living cluster and its run down again, after the file was lost or moved aside.

        What is there already stays as it is.

        Args:
            run: whose cluster it is.
            cluster: as its supervisor knows it.
            shares: what it holds of its pool.
        """
        supervisor = cluster.supervisor or ProcessRef(CLAIMED)
        tables: dict[str, dict[str, Any]] = {
            "runs": {
                "name": run.name,
                "spec": run.spec_json,
                "phase": run.phase.value,
                "created": run.created,
            },
            "clusters": {
                "id": cluster.id,
                "run": cluster.run,
                "attempt": cluster.attempt,
                "pool": cluster.pool,
                "state": cluster.state.value,
                "beat": cluster.renewals,
                "lease_s": cluster.lease_s,
                "tier": cluster.limits.tier,
                "tier_most": cluster.limits.max_tier_runs,
                "owner_most": cluster.limits.max_owner_runs,
                "supervisor_pid": supervisor.pid,
                "supervisor_started": supervisor.started,
                "orders": cluster.orders_json,
                "view": cluster.view_json,
                "created": cluster.created,
            },
        }
        with self.transaction() as connection:
            for table, row in tables.items():
                marks = ", ".join("?" * len(row))
                connection.execute(
                    f"INSERT OR IGNORE INTO {table} ({', '.join(row)}) VALUES ({marks})",
                    tuple(row.values()),
                )
            connection.executemany(
                "INSERT OR IGNORE INTO shares VALUES (?, ?, ?, ?, ?, ?, ?)",
                [row_of_share(s.cluster, s.owner, s.pool, s.amount, s.devices) for s in shares],
            )


def _plus(orders: str, order: Order) -> str:
    return to_json(from_json(Orders, orders).plus(order))
