"""Fifty runs at once on one machine, a few executing at a time."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers import wait_until
from tests.stack.prefect import Stack

COUNT = 50
TIMEOUT_S = 900
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


@pytest.mark.long
def test_fifty_runs_submitted_at_once_all_finish(stack: Stack, tmp_path: Path) -> None:
    def submit(number: int) -> str:
        return stack.start(
            "run-job/run-job",
            program="touches.py",
            arguments=str(tmp_path / str(number)),
            cluster={"framework": "none"},
            options={"tag": "fifty"},
        )

    with ThreadPoolExecutor(COUNT) as crowd:
        ids = list(crowd.map(submit, range(COUNT)))
    query = {"flow_runs": {"id": {"any_": ids}}, "limit": COUNT}

    def ended() -> Counter[str] | None:
        states = Counter(run["state_type"] for run in stack.ask("flow_runs/filter", query))
        return states if sum(states[type_] for type_ in ENDED) == COUNT else None

    assert wait_until(ended, TIMEOUT_S, "all have ended") == Counter(COMPLETED=COUNT)
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == list(range(COUNT))
    rows = stack.ledger.rows("SELECT phase FROM runs WHERE tags LIKE '%fifty%'")
    assert Counter(row["phase"] for row in rows) == Counter(Succeeded=COUNT)
    assert not [line for id_ in ids for line in stack.logs(id_) if "locked" in line]
