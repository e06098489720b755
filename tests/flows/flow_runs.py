"""Flow runs of a test's own flows on the shared server, driven by a process without a worker."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import urllib.error
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebbtide.flows.prefect_server.api import Api
from ebbtide.infra.records.ledger import Ledger
from tests.helpers import wait_until

DRIVE = Path(__file__).with_name("drive.py")
_BUSY = 503
_HEADER = """from pathlib import Path
from prefect import flow
from ebbtide import cluster, job, parallel
"""


def call(api: Api, path: str, body: Any = None, method: str = "POST") -> Any:
    """One request to Prefect's API; a busy SQLite answers 503 and is asked again."""

    def answered() -> tuple[Any] | None:
        try:
            text = api.call(path, body, method=method, timeout_s=30)
            return (json.loads(text) if text else None,)
        except urllib.error.HTTPError as error:
            if error.code != _BUSY:
                raise AssertionError(f"{path}: {error.code} {error.read()!r}") from error
            return None

    found = wait_until(answered, 60, f"{path} is answered")
    assert found is not None
    return found[0]


@dataclass(slots=True)
class FlowRun:
    """One flow run of a file with one flow, named ``main``."""

    api: Api
    home: Path
    file: Path
    id: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self) -> subprocess.Popen[str]:
        """Run it now, in a process of its own."""
        argv = [sys.executable, str(DRIVE), str(self.file), "main", self.id]
        log = self.file.with_suffix(f".{len(self.processes)}.log").open("w")
        process = subprocess.Popen(
            argv, cwd=self.file.parent, stdout=log, stderr=subprocess.STDOUT, text=True
        )
        log.close()
        self.processes.append(process)
        return process

    def run(self) -> str:
        """Run it to its end; gives the name of the state it is in then."""
        process = self.start()
        wait_until(lambda: process.poll() is not None, 120, "the flow process ends")
        return str(self.read()["state"]["name"])

    def read(self) -> dict[str, Any]:
        """What the server knows of it."""
        found: dict[str, Any] = call(self.api, f"flow_runs/{self.id}", method="GET")
        return found

    def retry(self) -> None:
        """As the UI's button does."""
        state = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "retry"}
        call(self.api, f"flow_runs/{self.id}/set_state", {"state": state, "force": True})

    def suspend(self) -> None:
        """From outside, as the UI's button does."""
        state = {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True}}
        call(self.api, f"flow_runs/{self.id}/set_state", {"state": state})

    def resume(self) -> None:
        """As the UI's button does."""
        call(self.api, f"flow_runs/{self.id}/resume", {})

    def log(self) -> str:
        """What its processes said."""
        return "".join(log.read_text() for log in sorted(self.file.parent.glob("*.log")))

    def ledger_runs(self) -> list[dict[str, Any]]:
        """Every run of this installation, oldest first."""
        ledger = Ledger(self.home)
        rows = [dict(row) for row in ledger.rows("SELECT * FROM runs ORDER BY rowid")]
        ledger.close()
        return rows


def flow_run(api: Api, home: Path, folder: Path, text: str) -> FlowRun:
    """A flow run of this text, which defines ``main``; it has a deployment, so may be suspended."""
    file = folder / "user_flow.py"
    file.write_text(_HEADER + textwrap.dedent(text))
    flow = call(api, "flows/", {"name": f"test-{folder.name}"})
    deployment = call(api, "deployments/", {"name": "test", "flow_id": flow["id"]})
    run = call(api, f"deployments/{deployment['id']}/create_flow_run", {})
    return FlowRun(api, home, file, run["id"])
