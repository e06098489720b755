"""The infrastructure's page under ``ebb up``: kept current by a deployment and by the stack."""

from __future__ import annotations

from pathlib import Path

from tests.helpers import wait_until
from tests.stack.prefect import Stack

_SHOWN_WITHIN_S = 60  # the stack looks every 15 s


def page(stack: Stack) -> str:
    query = {"artifacts": {"key": {"any_": ["infrastructure"]}}, "sort": "CREATED_DESC"}
    found = stack.ask("artifacts/filter", query)
    return str(found[0]["data"]) if found else ""


def test_deployment_writes_the_page_every_ten_minutes(stack: Stack) -> None:
    deployment = stack.ask("deployments/name/infrastructure/infrastructure")
    assert deployment["schedules"][0]["schedule"]["interval"] == 600
    id_ = stack.start("infrastructure/infrastructure")
    assert stack.ended(id_)["state"]["name"] == "Completed"
    assert "## Clusters and leases" in page(stack)


def test_run_is_on_the_page_while_it_lives_without_a_flow_run_for_it(
    stack: Stack, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    cluster = {"framework": "none"}
    id_ = stack.start("run-job/run-job", program="waits.py", arguments=str(go), cluster=cluster)
    stack.has_started(id_)
    name = stack.run_of(id_)["name"]
    wait_until(lambda: f"| {name} | {name}-1 | driver |" in page(stack), _SHOWN_WITHIN_S, "shown")
    go.touch()
    assert stack.ended(id_)["state"]["name"] == "Completed"
    wait_until(lambda: name not in page(stack), _SHOWN_WITHIN_S, "gone from the page")
