"""Watching costs little: nobody writes, nothing is read; it is the same, nothing is built."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.records import Cluster
from ebbtide.infra.platforms.local import watching
from ebbtide.infra.platforms.local.watching import Watch
from ebbtide.infra.records.ledger import Ledger

C1 = ClusterId("c-1")


class CountingLedger(Ledger):
    reads = 0

    def cluster(self, cluster: ClusterId) -> Cluster | None:
        self.reads += 1
        return super().cluster(cluster)


def a_cluster(home: Path) -> Ledger:
    ledger = Ledger(home)
    ledger.add_cluster(C1, RunName("c"), attempt=1, pool="local", lease_s=30)
    return ledger


def test_nothing_is_read_while_nobody_writes(tmp_path: Path) -> None:
    a_cluster(tmp_path).close()
    store = CountingLedger(tmp_path)
    seen = ClusterView(cluster=C1)
    assert Watch(store, C1).until_it_differs(seen, 0.3) == seen
    assert store.reads == 2, "at the beginning and at the end"


def test_renewals_build_no_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other, built = a_cluster(tmp_path), 0

    class Renewing(CountingLedger):
        def version(self) -> int:
            other.renew(C1)
            return super().version()

    def view_of(found: Cluster | None) -> ClusterView | None:
        nonlocal built
        built += 1
        return found.last_view if found is not None else None

    monkeypatch.setattr(watching, "view_of", view_of)
    store = Renewing(tmp_path)
    Watch(store, C1).until_it_differs(ClusterView(cluster=C1), 0.3)
    assert store.reads > 3
    assert built == 2
