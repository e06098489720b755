"""How long a pool usually takes, from the runs for which it grew before."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import ClusterView, WaitingView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.kubernetes.tending.growth import UsualGrowth
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec

GROWS = ClusterView(cluster=ClusterId("x-1"), waiting=WaitingView(message="grows", grows=True))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def add(ledger: Ledger, name: str, growth_s: float | None) -> None:
    """A run of pool ``test``."""
    runs.begin(ledger, run_spec(name, cluster_spec()))
    cluster = ClusterId(f"{name}-1")
    ledger.add_cluster(cluster, RunName(name), attempt=1, pool="test", lease_s=30)
    ledger.write_view(ClusterView(cluster=cluster, growth_s=growth_s))


def test_it_is_the_median_of_past_growths(ledger: Ledger) -> None:
    for number, growth_s in enumerate((60.0, None, 90.0, 400.0)):
        add(ledger, f"run-{number}", growth_s)
    usual = UsualGrowth(ledger, "test")
    assert usual.learnt(GROWS)
    assert usual.seconds == 90


def test_it_is_asked_for_once_and_only_when_the_pool_grows(ledger: Ledger) -> None:
    usual = UsualGrowth(ledger, "test")
    assert not usual.learnt(ClusterView(cluster=ClusterId("x-1")))
    add(ledger, "late", 60.0)
    assert usual.learnt(GROWS)
    assert not usual.learnt(GROWS)


def test_another_pool_tells_nothing(ledger: Ledger) -> None:
    add(ledger, "other", 60.0)
    usual = UsualGrowth(ledger, "compute")
    assert not usual.learnt(GROWS)
    assert usual.seconds is None
