"""A program that goes past its cluster is told so, wherever a person looks."""

from __future__ import annotations

from pathlib import Path

from ebbtide.infra.accounting.receipts import receipt_of
from ebbtide.infra.policy.explain.diagnosis import Story, diagnose
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import carried_out, cluster_spec, run_spec, script

PAST_IT = """
    import dask
    print(dask.delayed(sum)([1, 2]).compute(scheduler="threads"))
    """


def test_a_cluster_that_ran_no_task_is_told_in_the_run_in_why_and_in_the_receipt(
    ebb_home: Path, tmp_path: Path
) -> None:
    outcome = carried_out(ebb_home, run_spec("past", cluster_spec(), script(tmp_path, PAST_IT)))
    said = "the cluster ran no task; the program used Dask's threaded scheduler instead"
    assert outcome.output() == "3\n", outcome.errors()
    assert outcome.messages("warning") == [said]
    run, ledger = outcome.run, Ledger(ebb_home)
    receipt = receipt_of(ledger, run.name)
    ledger.close()
    found = diagnose(
        Story(run.phase, run.reason, run.detail, run.exit_code, run.created, outcome.events)
    )
    assert said in found.evidence
    assert "--bridge" in found.fix
    assert receipt is not None
    assert receipt.advice == f"{said}: {found.fix}"
