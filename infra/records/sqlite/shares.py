"""The table of shares: who holds how much of a pool, and the one transaction that takes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import PoolUse, Share
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.records.sqlite.rows import pool_use_of, share_of

_USED = (
    "SELECT coalesce(sum(cpu_millis), 0), coalesce(sum(memory_bytes), 0) FROM shares WHERE pool = ?"
)
_LINE = (
    "SELECT c.id, c.run, c.state, c.tier, c.tier_most, c.owner_most, r.owner"
    " FROM clusters c LEFT JOIN runs r ON r.name = c.run"
    " WHERE c.released_at IS NULL AND c.pool = ? ORDER BY c.seq"
)
_HOLDERS = (
    "SELECT DISTINCT run FROM clusters JOIN shares ON shares.cluster = clusters.id"
    " WHERE shares.pool = ?"
)


class ShareTable(Database):
    """The table of shares of pools."""

    def pool_use(self, pool: str) -> PoolUse:
        """Return who waits for room in a pool and who has some. Takes no lock."""
        return pool_use_of(self.rows(_LINE, pool), self._used(pool))

    def pool_holders(self, pool: str) -> tuple[RunName, ...]:
        """Return the runs that hold shares of a pool."""
        return tuple(row["run"] for row in self.rows(_HOLDERS, pool))

    def used_of(self, pool: str) -> Resources:
        """Return how much of a pool is held, by all clusters together."""
        used = self._used(pool)
        return Resources(used[0], used[1])

    def take_shares(
        self,
        cluster: ClusterId,
        pool: str,
        shares: Mapping[str, Resources],
        *,
        allowed: Callable[[PoolUse], bool],
        admit: bool = False,
    ) -> bool:
        """Take shares of a pool, all of them or none.

        Args:
            cluster: who takes them.
            pool: the pool that they are taken from.
            shares: owner (``head``, ``worker-0``, …) to amount.
            allowed: called with the pool as it is now; nobody can take a share meanwhile. Pure: a
                store may ask again when another was quicker.
            admit: whether the cluster leaves the queue with it.

        Returns:
            Whether they are taken.
        """
        with self.transaction() as connection:
            line = connection.execute(_LINE, (pool,)).fetchall()
            used = connection.execute(_USED, (pool,)).fetchone()
            if not allowed(pool_use_of(line, used)):
                return False
            connection.executemany(
                "INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?, ?)",
                [
                    (cluster, owner, pool, amount.cpu_millis, amount.memory_bytes)
                    for owner, amount in shares.items()
                ],
            )
            if admit:
                connection.execute(
                    "UPDATE clusters SET state = 'admitted' WHERE id = ?", (cluster,)
                )
        return True

    def give_back(self, cluster: ClusterId, owner: str) -> None:
        """Free one share of a cluster."""
        self.write("DELETE FROM shares WHERE cluster = ? AND owner = ?", cluster, owner)

    def shares_of(self, run: RunName) -> list[str]:
        """Return the owners of the shares that a run's clusters hold."""
        rows = self.rows(
            "SELECT owner FROM shares JOIN clusters ON shares.cluster = clusters.id WHERE run = ?",
            run,
        )
        return [row["owner"] for row in rows]

    def shares(self) -> list[Share]:
        """Return all shares with their runs: the oldest cluster first, its head first."""
        rows = self.rows(
            "SELECT c.run, s.* FROM shares s JOIN clusters c ON c.id = s.cluster"
            # worker-2 before worker-10
            " ORDER BY c.seq, s.owner != 'head', length(s.owner), s.owner"
        )
        return [share_of(row) for row in rows]

    def _used(self, pool: str) -> sqlite3.Row:
        row = self.row(_USED, pool)
        assert row is not None
        return row
