"""deployments.yaml, deployed by plain Prefect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flows.prefect_server.server import ServerInfo

FILE = "deployments.yaml"
ROOT = Path(__file__).parents[2]
POOLS = {"kubernetes": "some-kubernetes", "process": "some-process"}
"""By type. Not ``local``, which the fixture ``deployments`` makes."""


def ask(info: ServerInfo, path: str, body: dict[str, Any]) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{info.url}/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.parametrize("kind", POOLS)
def test_all_are_deployed_to_a_work_pool_of_either_type(prefect_api: ServerInfo, kind: str) -> None:
    pool = POOLS[kind]
    ask(prefect_api, "work_pools/", {"name": pool, "type": kind, "base_job_template": {}})
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
    found = ask(prefect_api, "deployments/filter", {})
    ours = {each["name"]: each for each in found if each["work_pool_name"] == pool}
    assert {"run-job", "nightly-pipeline", "retrain", "reap", "infrastructure"} <= set(ours)
    (nightly,) = ours["nightly-pipeline"]["schedules"]
    assert nightly["schedule"]["timezone"] == "Europe/Berlin"
