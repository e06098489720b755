"""The page of the infrastructure on a real server: written, changed in place, begun anew."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import POOL, cluster_spec, run_spec
from tests.flows.flow_runs import call

pytestmark = pytest.mark.usefixtures("prefect_api")
RUN_FLOW = "from ebbtide.flows.infrastructure import infrastructure; infrastructure()"
REFRESH = """
import sys
from prefect.client.orchestration import get_client
from ebbtide.flows import infrastructure
from ebbtide.infra.settings import load_settings
infrastructure._FRESH_FOR_S = float(sys.argv[1])
with get_client(sync_client=True) as client:
    infrastructure.refresh(client, load_settings())
"""


def python(program: str, *words: str) -> None:
    """A process of its own: Prefect reads the environment when it is imported."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def pages(info: ServerInfo) -> list[dict[str, Any]]:
    """All artifacts of the key, the latest first."""
    query = {"artifacts": {"key": {"any_": ["infrastructure"]}}, "sort": "CREATED_DESC"}
    found: list[dict[str, Any]] = call(info.api, "artifacts/filter", query)
    return found


def test_flow_writes_the_page_with_all_tables(prefect_api: ServerInfo) -> None:
    python(RUN_FLOW)
    page = pages(prefect_api)[0]
    assert page["type"] == "markdown"
    titles = [line[3:] for line in page["data"].splitlines() if line.startswith("## ")]
    assert titles == [
        *("Pools", "Nodes", "What runs where", "Queue", "Clusters and leases"),
        *("Held by others", "Tiers"),
    ]
    assert page["data"].startswith("as of **")


def test_page_is_changed_in_place_and_shows_what_waits(
    prefect_api: ServerInfo, ebb_home: Path
) -> None:
    python(REFRESH, "3600")
    before = pages(prefect_api)
    ledger = Ledger(ebb_home)
    runs.begin(ledger, replace(run_spec("heron", cluster_spec()), owner="a|b"))
    ledger.add_cluster(
        ClusterId("heron-1"), RunName("heron"), attempt=1, pool=POOL.name, lease_s=20
    )
    ledger.close()
    python(REFRESH, "3600")
    after = pages(prefect_api)
    assert [page["id"] for page in after] == [page["id"] for page in before]
    assert "| 1 | heron | test |" in after[0]["data"]
    assert "| a\\|b |" in after[0]["data"]  # ends no column


def test_page_of_another_day_is_left_and_a_new_one_begun(prefect_api: ServerInfo) -> None:
    python(REFRESH, "3600")
    before = pages(prefect_api)
    python(REFRESH, "0")
    after = pages(prefect_api)
    assert [page["id"] for page in after[1:]] == [page["id"] for page in before]
