"""deployments.yaml, deployed by plain Prefect."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ebbtide.flows.prefect_server.server import ServerInfo
from tests.flows.flow_runs import call

FILE = "deployments.yaml"
ROOT = Path(__file__).parents[2]
POOLS = {"kubernetes": "some-kubernetes", "process": "some-process"}
"""By type. Not ``local``, which the fixture ``deployments`` makes."""


@pytest.mark.parametrize("kind", POOLS)
def test_all_are_deployed_to_a_work_pool_of_either_type(prefect_api: ServerInfo, kind: str) -> None:
    pool = POOLS[kind]
    call(prefect_api.api, "work_pools/", {"name": pool, "type": kind, "base_job_template": {}})
    variable = {"PREFECT_DEPLOYMENTS_DEFAULT_WORK_POOL_NAME": pool}
    words = ["-m", "prefect", "--no-prompt", "deploy", "--prefect-file", FILE, "--all"]
    subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, **variable},
        capture_output=True,
        timeout=120,
        check=True,
    )
    found = call(prefect_api.api, "deployments/filter", {})
    ours = {each["name"]: each for each in found if each["work_pool_name"] == pool}
    assert {"run-job", "nightly-pipeline", "retrain", "reap", "infrastructure"} <= set(ours)
    (nightly,) = ours["nightly-pipeline"]["schedules"]
    assert nightly["schedule"]["timezone"] == "Europe/Berlin"
