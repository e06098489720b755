"""What is told of a cluster's steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.kubernetes.tending.teller import Teller
from ebbtide.infra.platforms.upkeep.status import StatusReporter
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec

CLUSTER = ClusterId("heron-1")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    found = Ledger(tmp_path)
    runs.begin(found, run_spec("heron", cluster_spec()))
    return found


def told(ledger: Ledger, view: ClusterView, nodes: int) -> list[str]:
    reporter = StatusReporter(ledger, RunName("heron"), CLUSTER)
    Teller(run_spec("heron", cluster_spec()), "team", reporter).tell(view, nodes)
    return [event.message for event in ledger.events(RunName("heron"))]


def test_nodes_are_counted(ledger: Ledger) -> None:
    (message,) = told(ledger, ClusterView(cluster=CLUSTER, admitted_at=1.0), 1)
    assert message.endswith("on 1 node of pool test")


def test_a_pool_that_grew_says_how_long_that_took(ledger: Ledger) -> None:
    view = ClusterView(cluster=CLUSTER, admitted_at=1.0, growth_s=72.0)
    (message,) = told(ledger, view, 2)
    assert message.endswith("on 2 nodes of pool test, which grew in 1m12s")


def test_what_is_told_together_is_written_at_its_end(ledger: Ledger) -> None:
    reporter = StatusReporter(ledger, RunName("heron"), CLUSTER)
    with reporter.together():
        Teller(run_spec("heron", cluster_spec()), "team", reporter).tell(
            ClusterView(cluster=CLUSTER, admitted_at=1.0, head_ready_at=2.0), 1
        )
        assert ledger.events(RunName("heron")) == []
    assert len(ledger.events(RunName("heron"))) == 2
