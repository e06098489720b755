"""Prefect's API as a client of it sees it, and what the tests of the stack do with it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebbtide.flows.prefect_server.api import Api, basic, own_auth_string
from ebbtide.flows.service import stack
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until

ROOT = Path(__file__).parents[2]
EBB = [str(Path(sys.executable).with_name("ebb"))]
_ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


@dataclass
class Stack:
    """What ``ebb up`` has started."""

    home: Path
    place: Path
    """Where it was typed."""
    environment: dict[str, str]

    @property
    def info(self) -> stack.StackInfo:
        """How it is now."""
        found = stack.running(Settings(home=self.home))
        assert found is not None
        return found

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.home)

    @property
    def api(self) -> Api:
        """Of its server, with the right to use it."""
        secret = basic(own_auth_string(self.home))
        return Api(f"{self.info.ui_url}/api", secret)  # also while the server is away

    def ask(self, path: str, body: Any = None) -> Any:
        """One request; a server that is busy is asked again."""

        def answer() -> Any:
            try:
                return [json.loads(self.api.call(path, body, timeout_s=30))]
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            except OSError:
                return None
            return None

        return wait_until(answer, 60, f"{path} answers")[0]

    def deploy(self, file: Path) -> None:
        """As its owner would: PREFECT_HOME is all that has to be set."""
        words = ["-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(file), "--all"]
        profile = {"PREFECT_HOME": str(self.home / "prefect"), "EBB_TEST_ROOT": str(ROOT)}
        subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env={**self.environment, **profile},
            check=True,
            capture_output=True,
        )

    def start(self, deployment: str, **parameters: Any) -> str:
        """A flow run of a deployment, such as ``run-job/run-job``; gives its id."""
        found = self.ask(f"deployments/name/{deployment}")
        run = self.ask(f"deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        return str(run["id"])

    def flow_run(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask(f"flow_runs/{id_}")
        return found

    def state(self, id_: str) -> str:
        """The name of its state."""
        return str(self.flow_run(id_)["state"]["name"])

    def ended(self, id_: str, timeout_s: float = 90) -> dict[str, Any]:
        """The flow run, once it has ended."""

        def look() -> dict[str, Any] | None:
            run = self.flow_run(id_)
            return run if run["state"]["type"] in _ENDED else None

        found = wait_until(look, timeout_s, "the flow run ends")
        assert found is not None
        return found

    def set_state(self, id_: str, type_: str, name: str | None = None) -> None:
        """As the UI's buttons and ``prefect flow-run`` do."""
        state = {"type": type_, "name": name or type_.title()}
        self.ask(f"flow_runs/{id_}/set_state", {"state": state})

    def pause_pool(self, *, paused: bool) -> None:
        """As the switch in the UI does."""
        self.tell("PATCH", f"work_pools/{self.info.pool}", {"is_paused": paused})

    def tell(self, method: str, path: str, body: Any = None) -> None:
        """A request whose answer says nothing."""
        self.api.call(path, body, method=method, timeout_s=30)

    def run_of(self, id_: str) -> dict[str, Any]:
        """The ledger's row of the run that this flow run drives."""

        def look() -> dict[str, Any] | None:
            row = self.ledger.row("SELECT * FROM runs WHERE flow_run_id = ?", id_)
            return dict(row) if row else None

        found = wait_until(look, 60, "the run is in the ledger")
        assert found is not None
        return found

    def logs(self, id_: str) -> list[str]:
        """All of them, a page at a time."""
        found: list[str] = []
        while True:
            query = {"logs": {"flow_run_id": {"any_": [id_]}}, "sort": "TIMESTAMP_ASC"}
            page = self.ask("logs/filter", {**query, "offset": len(found), "limit": 200})
            found += [line["message"] for line in page]
            if len(page) < 200:
                return found

    def artifacts(self, id_: str) -> dict[str, Any]:
        """By key."""
        query = {"artifacts": {"flow_run_id": {"any_": [id_]}}}
        return {found["key"]: found for found in self.ask("artifacts/filter", query)}

    def nothing_held(self, id_: str, timeout_s: float = 30) -> None:
        """Until nothing of its runs is alive on this machine."""
        platform = LocalPlatform(Settings(home=self.home))
        runs = self.ledger.rows("SELECT name FROM runs WHERE flow_run_id = ?", id_)

        def held() -> list[Any]:
            names = [row["name"] for row in runs]
            return [h for h in platform.held() if h.cluster.rsplit("-", 1)[0] in names]

        wait_until(lambda: not held(), timeout_s, "nothing of it is held")

    def has_started(self, id_: str) -> None:
        """Until its program has said its first word."""
        run = self.run_of(id_)
        path = self.home / "runs" / run["name"] / "stdout.log"
        wait_until(lambda: path.exists() and path.stat().st_size, 60, "the program has started")

    def flow_pid(self, id_: str) -> int:
        """The process the flow run lives in, once it has signed in."""

        def look() -> Any:
            return self.ledger.row("SELECT pid FROM flow_runs WHERE id = ?", id_)

        return int(wait_until(look, 60, "the flow run signs in")["pid"])
