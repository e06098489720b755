"""Receipts of real runs: spans match what happened, and nothing is counted after release."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.infra.accounting.receipts import receipt_of
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import (
    QUICK,
    TIER,
    Outcome,
    carried_out,
    cluster_spec,
    run_spec,
    script,
    standing,
)
from tests.helpers import wait_until

JOB = RunName("job")

BURN_S = 2
BURNS = f"""
    import time
    while time.process_time() < {BURN_S}: pass
    """
CLUSTER_BURNS = f"""
    import time
    from distributed import Client
    def burn():
        end = time.thread_time() + {BURN_S}
        while time.thread_time() < end: pass
    Client().submit(burn).result()
    """
NOBODY = ("none", BURNS, {"driver"})
DASK = ("dask", CLUSTER_BURNS, {"head", "worker-0"})


def happened(outcome: Outcome, step: str) -> float:
    """When the step was done, Unix time."""
    done = [e.at for e in outcome.events if (e.kind, e.step) == ("step_done", step)]
    return float(done[0])


@pytest.mark.parametrize(("framework", "program", "owners"), [NOBODY, DASK], ids=["none", "dask"])
def test_shares_count_from_admission_to_release_with_their_cpu(
    ebb_home: Path, tmp_path: Path, framework: str, program: str, owners: set[str]
) -> None:
    spec = run_spec("job", cluster_spec(framework), script(tmp_path, program))
    outcome = carried_out(ebb_home, spec)
    assert outcome.error is None, outcome.errors()
    ledger = Ledger(ebb_home)
    spans, cluster = ledger.spans(JOB), ledger.cluster(ClusterId("job-1"))
    ledger.close()
    assert cluster is not None
    assert {span.owner for span in spans} == owners
    for span in spans:
        assert span.began == pytest.approx(happened(outcome, "wait_for_nodes"), abs=1)
        assert span.ended == cluster.released_at
    used_s = sum(span.cpu_s for span in spans if span.is_worker)
    assert BURN_S - 0.1 <= used_s <= BURN_S + 10, "what starting took is in it"


def test_a_receipt_stays_as_it_is_after_release(ebb_home: Path, tmp_path: Path) -> None:
    tier = replace(TIER, price_per_hour=3600.0)
    spec = run_spec("job", cluster_spec("none", tier=tier), script(tmp_path, BURNS))
    outcome = carried_out(ebb_home, spec)
    ledger = Ledger(ebb_home)
    receipt = receipt_of(ledger, JOB)
    assert receipt is not None
    held_s = happened(outcome, "tear_down") - happened(outcome, "wait_for_nodes")
    assert receipt.total.asked_s == pytest.approx(held_s, abs=1)
    assert receipt.total.cost == pytest.approx(receipt.total.asked_s)
    assert sum(use.cost for _, use in receipt.steps) == pytest.approx(receipt.total.cost, abs=1)
    assert receipt == receipt_of(ledger, JOB)
    ledger.close()


def test_a_killed_supervisor_leaves_a_receipt_that_ends_with_the_release(ebb_home: Path) -> None:
    policy = replace(QUICK, min_workers=2)
    with standing(ebb_home, run_spec("job", cluster_spec(policy=policy))) as stand:

        def figures_are_written() -> bool:
            spans = stand.ledger.spans(JOB)
            return all(span.cpu_s > 0 for span in spans if span.is_worker) and len(spans) > 2

        wait_until(figures_are_written, 30, "what starting took is in the book")
        for process in marks.marked(ebb_home):
            if process.role == "supervisor":
                os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: stand.observe().released_at, 30, "it is released")
        released_at = stand.observe().released_at
        spans = stand.ledger.spans(JOB)
        assert [span.owner for span in spans] == ["head", "worker-0", "worker-1"]
        assert {span.ended for span in spans} == {released_at}
        receipt = receipt_of(stand.ledger, JOB)
        assert receipt is not None
        assert (receipt.peak_workers, receipt.total.used_s > 0) == (2, True)
