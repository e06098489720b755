"""What ``ebb why`` finds in logs, of a run that goes on and of one whose process died."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.infra.errors import error_for
from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec

HERON, CLUSTER = RunName("heron"), ClusterId("heron-1")
TRACEBACK = 'starting\nTraceback (most recent call last):\n  File "x"\nOSError: no route to host\n'


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run whose cluster waits for its second worker; none of it is alive."""
    monkeypatch.setenv("EBB_HOME", str(tmp_path))
    ledger = Ledger(tmp_path)
    runs.begin(ledger, run_spec(HERON, cluster_spec(), tmp_path / "p.py"))
    ledger.add_cluster(CLUSTER, HERON, attempt=1, pool="test", lease_s=20.0)
    ledger.set_phase(HERON, Phase.STARTING)
    view = ClusterView(
        cluster=CLUSTER,
        admitted_at=1.0,
        head_ready_at=2.0,
        workers_wanted=2,
        workers_joined=1,
        workers_missing=("worker-1",),
    )
    ledger.write_view(view)
    ledger.close()
    return private_folder(tmp_path, "runs", HERON)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["why", HERON]) == 0
    return capsys.readouterr().out


def test_what_it_waits_for_is_heard(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "cause     it waits for workers: 1 of 2 registered\n" in said(capsys)
    (logs / "worker-1.log").write_text("looking for the head\n")
    assert "evidence  worker-1 says: looking for the head\n" in said(capsys)


def test_last_error_of_a_process_that_died_is_evidence(
    logs: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (logs / "flow.log").write_text(TRACEBACK)
    error = error_for(Reason.FLOW_LOST)
    ledger = Ledger(tmp_path)
    runs.end(ledger, HERON, error, error.exit_code)
    ledger.close()
    assert "flow said: OSError: no route to host\n" in said(capsys)
