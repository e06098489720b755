"""Receipts of real runs: spans match what happened, and nothing is counted after release."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra import usage
from infra.ledger import Ledger
from tests.clusters import Outcome, carried_out, cluster_spec, run_spec, script

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


def happened(outcome: Outcome, step: str) -> float:
    """When the step was done, Unix time."""
    done = [e["at"] for e in outcome.events if (e["kind"], e["step"]) == ("step_done", step)]
    return float(done[0])


@pytest.mark.parametrize(
    ("framework", "program", "owners"),
    [("none", BURNS, {"driver"}), ("dask", CLUSTER_BURNS, {"head", "worker-0"})],
)
def test_spans_last_from_admission_to_release_and_count_the_cpu(
    ebb_home: Path, tmp_path: Path, framework: str, program: str, owners: set[str]
) -> None:
    outcome = carried_out(
        ebb_home, run_spec("job", cluster_spec(framework), script(tmp_path, program))
    )
    assert outcome.error is None, outcome.errors()
    ledger = Ledger(ebb_home)
    spans = usage.spans_of(ledger, "job")
    cluster = ledger.cluster("job-1")
    assert cluster is not None
    assert {span.owner for span in spans} == owners
    for span in spans:
        assert span.began == pytest.approx(happened(outcome, "wait_for_nodes"), abs=1)
        assert span.ended == cluster["released_at"]
    used_s = sum(span.cpu_s for span in spans if span.is_worker)
    assert BURN_S - 0.1 <= used_s <= BURN_S + 10, "also what starting took"
    ledger.close()
