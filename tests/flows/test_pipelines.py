"""The deployed pipelines: what they make, what they refuse, and how they are deployed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import ROOT, Deployed
from tests.flows.flow_runs import FlowRun, call

PIPELINE = "from ebbtide.flows.pipelines import nightly_pipeline as main\n"
RETRAIN = "from ebbtide.flows.retrain import retrain as main\n"


class Start:
    """Makes flow runs of our deployments, to be driven without a worker."""

    def __init__(self, deployed: Deployed, home: Path, folder: Path):
        self.deployed, self.home, self.folder = deployed, home, folder

    def __call__(self, name: str, text: str, **parameters: Any) -> FlowRun:
        file = self.folder / "deployed.py"
        file.write_text(text)
        path = f"deployments/{self.deployed.id(name)}/create_flow_run"
        run = call(self.deployed.api, path, {"parameters": parameters})
        return FlowRun(self.deployed.api, self.home, file, run["id"])


@pytest.fixture
def start(deployed: Deployed, ebb_home: Path, tmp_path: Path) -> Start:
    return Start(deployed, ebb_home, tmp_path)


def frameworks(flow: FlowRun) -> list[str]:
    """Of all runs, in the order they were begun."""
    specs = [row["spec"] for row in flow.ledger_runs()]
    return [name for spec in specs for name in ("dask", "none") if f'"framework":"{name}"' in spec]


def test_each_job_of_the_pipeline_has_a_cluster_of_its_own(start: Start) -> None:
    flow = start("nightly-pipeline", PIPELINE, framework="none", rows=200, day="2026-03-01")
    assert flow.run() == "Completed", flow.log()
    assert [row["phase"] for row in flow.ledger_runs()] == ["Succeeded"] * 4
    query = {"artifacts": {"key": {"any_": ["nightly-report"]}}}
    reports = call(flow.api, "artifacts/filter", query)
    assert "# Models of 2026-03-01" in {report["data"].splitlines()[0] for report in reports}


def test_all_jobs_of_the_pipeline_share_a_cluster(start: Start) -> None:
    flow = start("nightly-pipeline", PIPELINE, share_cluster=True, rows=200, shards=3)
    assert flow.run() == "Completed", flow.log()
    assert frameworks(flow) == ["dask"]


def test_the_training_jobs_of_the_pipeline_run_on_dask(start: Start) -> None:
    flow = start("nightly-pipeline", PIPELINE, rows=200)
    assert flow.run() == "Completed", flow.log()
    assert frameworks(flow) == ["none", "dask", "dask", "none"]


def test_a_late_pipeline_does_not_stack(deployed: Deployed) -> None:
    found = deployed.deployments["nightly-pipeline"]
    assert found["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert found["global_concurrency_limit"]["limit"] == 1
    (schedule,) = found["schedules"]
    assert (schedule["active"], schedule["schedule"]["timezone"]) == (True, "Europe/Berlin")


def test_the_form_says_what_each_field_means(deployed: Deployed) -> None:
    for name in ("nightly-pipeline", "retrain"):
        fields = deployed.deployments[name]["parameter_openapi_schema"]["properties"]
        assert all(field.get("description") for field in fields.values()), name


def test_the_form_refuses_a_number_out_of_bounds(start: Start) -> None:
    with pytest.raises(AssertionError, match=r"409.*shards"):
        start("nightly-pipeline", PIPELINE, shards=17)


def test_a_version_is_trained_on_once(start: Start, tmp_path: Path) -> None:
    data = tmp_path / "orders.csv"
    data.write_text("".join(f"{n / 50},{1 - n / 50},{n / 25}\n" for n in range(50)))
    facts = {"dataset": "orders", "version": "7", "uri": f"file://{data}"}
    assert start("retrain", RETRAIN, **facts).run() == "Completed"
    again = start("retrain", RETRAIN, **facts)
    assert again.run() == "Skipped"
    (row,) = again.ledger_runs()
    assert again.read()["state"]["message"] == f"orders 7 is done already by run {row['name']}"
    data.write_text("no numbers\n")
    assert start("retrain", RETRAIN, **{**facts, "version": "8"}).run() == "Failed"
    assert list((start.home / "inputs").iterdir()) == []  # of all three ends


def test_a_wrong_payload_is_refused_in_words(start: Start) -> None:
    flow = start("retrain", RETRAIN, dataset="orders", version="", uri="s3://bucket/orders")
    assert flow.run() == "Failed"
    message = flow.read()["state"]["message"]
    assert message.startswith("MISCONFIGURATION:OPTION_INVALID: ")
    assert "there is no version" in message
    assert "reads files, not s3" in message
    assert flow.ledger_runs() == []


def test_a_flow_of_ones_own_is_deployed_beside_ours_and_runs(start: Start) -> None:
    file = ROOT / "examples/flows/my_flow.py"
    flow = start("mine", f"import runpy\nmain = runpy.run_path({str(file)!r})['my_flow']\n", rows=1)
    assert flow.run() == "Completed", flow.log()
    assert frameworks(flow) == ["dask", "dask"]
