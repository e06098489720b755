"""The table of shares: who holds how much of a pool, and the one transaction that takes them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import PoolUse, Share
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.records.sqlite.database import Database
from ebbtide.infra.records.sqlite.rows import devices_of, pool_use_of, row_of_share, share_of

_USED = (
    "SELECT coalesce(sum(cpu_millis), 0), coalesce(sum(memory_bytes), 0), coalesce(sum(gpus), 0)"
    " FROM shares WHERE pool = ?"
)
_DEVICES = "SELECT cluster, owner, devices FROM shares WHERE gpus > 0"
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
        used = self.row(_USED, pool)
        assert used is not None
        return pool_use_of(self.rows(_LINE, pool), used, self.rows(_DEVICES))

    def pool_holders(self, pool: str) -> tuple[RunName, ...]:
        """Return the runs that hold shares of a pool."""
        return tuple(row["run"] for row in self.rows(_HOLDERS, pool))

    def devices(self, cluster: ClusterId) -> dict[str, tuple[str, ...]]:
        """Return the GPUs that a cluster holds, by the owners of its shares."""
        found = self.rows(f"{_DEVICES} AND cluster = ?", cluster)
        return {row["owner"]: devices_of(row) for row in found}

    def take_shares(
        self,
        cluster: ClusterId,
        pool: str,
        shares: Mapping[str, Resources],
        *,
        allowed: Callable[[PoolUse], bool],
        admit: bool = False,
        devices: Sequence[str] = (),
    ) -> bool:
        """Take shares of a pool, all of them or none.

        Args:
            cluster: who takes them.
            pool: the pool that they are taken from.
            shares: owner (``head``, ``worker-0``, …) to amount.
            allowed: called with the pool as it is now; nobody can take a share meanwhile. Pure: a
                store may ask again when another was quicker.
            admit: whether the cluster leaves the queue with it.
            devices: the GPUs of this machine, by their UUIDs. Each share that asks for some gets
                as many of those that nobody holds.

        Returns:
            Whether they are taken.
        """
        with self.transaction() as connection:
            line = connection.execute(_LINE, (pool,)).fetchall()
            used = connection.execute(_USED, (pool,)).fetchone()
            held = connection.execute(_DEVICES).fetchall()
            if not allowed(pool_use_of(line, used, held)):
                return False
            # A share that is taken again, as its owner could not be started, gives its own back.
            others = [
                row for row in held if row["cluster"] != cluster or row["owner"] not in shares
            ]
            given = _handed_out(shares, devices, others)
            if given is None:
                return False
            connection.executemany(
                "INSERT OR REPLACE INTO shares VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    row_of_share(cluster, owner, pool, amount, given[owner])
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


def _handed_out(
    shares: Mapping[str, Resources], devices: Sequence[str], others: Sequence[sqlite3.Row]
) -> dict[str, list[str]] | None:
    """Which GPUs each owner gets of those that no other share has; None: there are too few."""
    held = {device for row in others for device in devices_of(row)}
    free = [device for device in devices if device not in held]
    given: dict[str, list[str]] = {}
    for owner, amount in shares.items():
        given[owner], free = free[: amount.gpus], free[amount.gpus :]
        if len(given[owner]) < amount.gpus:
            return None
    return given
