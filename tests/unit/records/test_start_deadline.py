"""From when on the time to start counts: the run's request, or that of a fresh attempt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import Limits, PassedOver, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import now_s, wall_s
from tests.clusters import cluster_spec, run_spec

ALLOWED_S, WAITED_S = 1000.0, 400.0
LEFT = PassedOver(tier="a", reason=Reason.OUT_OF_STOCK, why="none")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


@pytest.fixture
def spec(store: Ledger) -> RunSpec:
    """Of a run that was asked for a while ago."""
    spec = run_spec("heron", cluster_spec("none"), limits=Limits(start_within_s=ALLOWED_S))
    return runs.begin(store, spec, requested_at=wall_s() - WAITED_S)


def left_s(store: Ledger, spec: RunSpec, attempt: int) -> float:
    cluster = ClusterId(f"{spec.name}-{attempt}")
    return runs.start_deadline(store, spec, cluster, attempt).left_s(now_s())


def test_the_first_attempt_counts_from_the_request_of_the_run(store: Ledger, spec: RunSpec) -> None:
    expected_s = ALLOWED_S - WAITED_S
    assert left_s(store, spec, 1) == pytest.approx(expected_s, abs=5)
    declare(store, spec, 1)
    assert left_s(store, spec, 1) == pytest.approx(expected_s, abs=5)


def test_a_fresh_attempt_counts_from_its_own_declaration(store: Ledger, spec: RunSpec) -> None:
    assert left_s(store, spec, 2) == pytest.approx(ALLOWED_S, abs=5)
    declare(store, spec, 2)
    store.write("UPDATE clusters SET created = created - ?", WAITED_S)
    assert left_s(store, spec, 2) == pytest.approx(ALLOWED_S - WAITED_S, abs=5)


def test_a_run_that_is_not_written_down_counts_from_now(store: Ledger) -> None:
    spec = run_spec("egret", cluster_spec("none"), limits=Limits(start_within_s=ALLOWED_S))
    assert left_s(store, spec, 1) == pytest.approx(ALLOWED_S, abs=5)


def declare(store: Ledger, spec: RunSpec, attempt: int) -> None:
    cluster = ClusterId(f"{spec.name}-{attempt}")
    store.add_cluster(cluster, spec.name, attempt=attempt, pool="test", lease_s=30)


def test_next_tier_has_what_the_one_before_has_left_of_the_time(
    store: Ledger, spec: RunSpec
) -> None:
    declare(store, spec, 1)
    left_for_another(store, spec, 1)
    spec = replace(spec, passed_over=(LEFT,))
    declare(store, spec, 2)
    assert left_s(store, spec, 2) == pytest.approx(ALLOWED_S - WAITED_S, abs=5)
    # The third follows a failure of another kind, and the fourth goes on from there.
    declare(store, spec, 3)
    assert left_s(store, spec, 3) == pytest.approx(ALLOWED_S, abs=5)
    store.write("UPDATE clusters SET created = created - ? WHERE attempt = 3", 100.0)
    left_for_another(store, spec, 3)
    declare(store, spec, 4)
    assert left_s(store, spec, 4) == pytest.approx(ALLOWED_S - 100, abs=5)


def left_for_another(store: Ledger, spec: RunSpec, attempt: int) -> None:
    data = {runs.NEXT_TIER: "b", "number": attempt}
    store.append(Event(run=spec.name, kind=EventKind.ATTEMPT, message="", data=data))
