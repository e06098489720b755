"""Fifty runs at once on one machine, a few executing at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import wait_until
from tests.stack.prefect import Stack

COUNT = 50
TIMEOUT_S = 900
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}

SUBMIT = """
import asyncio, json, sys
from prefect.client.orchestration import get_client

async def main(count, folder):
    async with get_client() as client:
        deployment = await client.read_deployment_by_name("run-job/run-job")

        async def submit(number):
            parameters = {
                "program": "touches.py",
                "arguments": f"{folder}/{number}",
                "cluster": {"framework": "none"},
                "options": {"tag": "fifty"},
            }
            run = await client.create_flow_run_from_deployment(
                deployment.id, parameters=parameters
            )
            return str(run.id)

        return await asyncio.gather(*map(submit, range(count)))

print(json.dumps(asyncio.run(main(int(sys.argv[1]), sys.argv[2]))))
"""
"""As a person's script does, with Prefect's own client."""


def complaints(stack: Stack, query: dict[str, Any]) -> list[str]:
    """What the runs say that did not complete."""
    runs = [r for r in stack.ask("flow_runs/filter", query) if r["state_type"] != "COMPLETED"]
    said = [f"{run['name']} {run['state']['name']}: {run['state']['message']}" for run in runs]
    return [*said, *(line for run in runs for line in stack.logs(run["id"])[-5:])]


@pytest.mark.long
def test_fifty_runs_submitted_at_once_all_finish(stack: Stack, tmp_path: Path) -> None:
    own = {"PREFECT_HOME": str(stack.home / "prefect"), "PREFECT_CLIENT_MAX_RETRIES": "8"}
    done = subprocess.run(
        [sys.executable, "-c", SUBMIT, str(COUNT), str(tmp_path)],
        env={**stack.environment, **own},
        stdout=subprocess.PIPE,
        check=True,
    )
    ids = json.loads(done.stdout)
    query = {"flow_runs": {"id": {"any_": ids}}, "limit": COUNT}

    def ended() -> Counter[str] | None:
        states = Counter(run["state_type"] for run in stack.ask("flow_runs/filter", query))
        return states if sum(states[type_] for type_ in ENDED) == COUNT else None

    found = wait_until(ended, TIMEOUT_S, "all have ended")
    assert found == Counter(COMPLETED=COUNT), "\n".join(complaints(stack, query))
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(COUNT))
    rows = stack.ledger.rows("SELECT phase FROM runs WHERE tags LIKE '%fifty%'")
    assert Counter(row["phase"] for row in rows) == Counter(Succeeded=COUNT)
    assert not [line for id_ in ids for line in stack.logs(id_) if "locked" in line]
