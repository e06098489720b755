"""The database of our Prefect server: many writers at once, and what it forgets."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.server import ServerInfo
from tests.flows.flow_runs import call
from tests.helpers import wait_until

WRITERS = 40
STATES = ("PENDING", "RUNNING", "COMPLETED")


def test_crowd_of_writers_is_answered_and_never_locked_out(
    prefect_server: ServerInfo, server_home: Path
) -> None:
    log = server_home / "prefect" / "server.log"
    before = log.read_text(errors="replace").count("database is locked")
    flow = call(prefect_server.api, "flows/", {"name": "crowd"})
    all_at_once = threading.Barrier(WRITERS)

    def once(path: str, body: Any) -> Any:
        """Not asked again: a busy server's 503 is what must not be."""
        return json.loads(prefect_server.api.call(path, body, timeout_s=25))

    def write(_: int) -> str:
        all_at_once.wait()
        run = once("flow_runs/", {"flow_id": flow["id"]})
        for state in STATES:
            once(f"flow_runs/{run['id']}/set_state", {"state": {"type": state, "name": state}})
        return str(once("flow_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})[0]["id"])

    with ThreadPoolExecutor(WRITERS) as crowd:
        assert len(set(crowd.map(write, range(WRITERS)))) == WRITERS
    assert log.read_text(errors="replace").count("database is locked") == before


def test_flow_runs_that_ended_long_ago_are_forgotten(ebb_home: Path) -> None:
    info = server.ensure(ebb_home, deadline_s=180, idle_s=3600)
    try:
        flow = call(info.api, "flows/", {"name": "old"})
        old, new = (call(info.api, "flow_runs/", {"flow_id": flow["id"]})["id"] for _ in "12")
        for run in (old, new):
            done = {"state": {"type": "COMPLETED", "name": "Completed"}}
            call(info.api, f"flow_runs/{run}/set_state", done)
        server.stop(ebb_home)
        with sqlite3.connect(ebb_home / "prefect" / "prefect.db") as database:
            database.execute(
                "UPDATE flow_run SET end_time = '2020-01-01 00:00:00.000000' WHERE id = ?", (old,)
            )
        database.close()
        info = server.ensure(ebb_home, deadline_s=180, idle_s=3600)

        def left() -> list[str]:
            return [run["id"] for run in call(info.api, "flow_runs/filter", {})]

        wait_until(lambda: left() == [new], 60, "only the new one is left")
    finally:
        server.stop(ebb_home)
