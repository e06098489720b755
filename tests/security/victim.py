"""What is attacked: the Prefect server of a single ``ebb run``, with deployments to be misused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.server import ServerInfo

ROOT = Path(__file__).parents[2]
EBB = str(Path(sys.executable).with_name("ebb"))


@dataclass(frozen=True)
class Victim:
    """The server, and ids to name in an attack."""

    info: ServerInfo
    deployment: str

    def ask(self, path: str, body: Any = None, method: str = "") -> Any:
        """As its owner."""
        text = self.info.api.call(path, body, method=method, timeout_s=30)
        return json.loads(text) if text else None

    @property
    def marks(self) -> tuple[int, bool, int]:
        """What an attack would change: flow runs of the deployment, whether it is paused, flows."""
        named = {"deployments": {"id": {"any_": [self.deployment]}}}
        runs = self.ask("flow_runs/count", named)
        paused = self.ask(f"deployments/{self.deployment}")["paused"]
        return runs, paused, self.ask("flows/count", {})


def victim(home: Path) -> Iterator[Victim]:
    """Its owner runs something; that starts the server. Then the deployments, for the attacks."""
    inherited = {key: v for key, v in os.environ.items() if not key.startswith("PREFECT")}
    environment = {**inherited, "EBB_HOME": str(home), "PREFECT_HOME": str(home / "prefect")}
    run = [EBB, "run", "--framework", "none", "--", sys.executable, "-c", "print('mine')"]
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    pool = {"name": "local", "type": "process", "base_job_template": {}}
    try:
        subprocess.run(run, cwd=home, env=environment, check=True, capture_output=True)
        info = server.running(home)
        assert info is not None
        info.api.call("work_pools/", pool, timeout_s=30)
        file = ["--prefect-file", str(ROOT / "deployments.yaml")]
        subprocess.run([*deploy, *file], cwd=ROOT, env=environment, check=True, capture_output=True)
        found = json.loads(info.api.call("deployments/name/run-job/run-job", timeout_s=30))
        yield Victim(info, found["id"])
    finally:
        server.stop(home)
