"""One real Prefect server for all tests of this folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.api import Api
from ebbtide.flows.prefect_server.server import ServerInfo
from tests.flows.flow_runs import call

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def server_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ebb-prefect-") as folder:
        yield Path(folder)
        server.stop(Path(folder))


@pytest.fixture(scope="session")
def prefect_server(server_home: Path) -> ServerInfo:
    return server.ensure(server_home, deadline_s=180, idle_s=3600)


@pytest.fixture
def prefect_api(
    prefect_server: ServerInfo, ebb_home: Path, monkeypatch: pytest.MonkeyPatch
) -> ServerInfo:
    """The processes of this test use the shared server, as if the user had named it."""
    for name, value in server.client_environment(prefect_server).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_HOME", str(ebb_home / "prefect"))
    return prefect_server


@dataclass(frozen=True, slots=True)
class Deployed:
    """A server that has our deployments."""

    api: Api
    deployments: dict[str, dict[str, Any]]

    @property
    def url(self) -> str:
        return self.api.url

    def id(self, name: str) -> str:
        """Of one deployment."""
        return str(self.deployments[name]["id"])


@pytest.fixture(scope="session")
def deployments(prefect_server: ServerInfo, server_home: Path) -> Deployed:
    """All of deployments.yaml and of the examples', as a user deploys them; there is no worker."""
    pool = {"name": "local", "type": "process", "base_job_template": {}}
    call(prefect_server.api, "work_pools/", pool)
    environment = {**os.environ, **server.client_environment(prefect_server)}
    environment["PREFECT_HOME"] = str(server_home / "deploying")
    for file in ("deployments.yaml", "examples/flows/deployments.yaml"):
        argv = ["-m", "prefect", "--no-prompt", "deploy", "--prefect-file", file, "--all"]
        subprocess.run(
            [sys.executable, *argv], cwd=ROOT, env=environment, check=True, capture_output=True
        )
    found = call(prefect_server.api, "deployments/filter", {})
    return Deployed(prefect_server.api, {deployment["name"]: deployment for deployment in found})


@pytest.fixture
def deployed(prefect_api: ServerInfo, deployments: Deployed) -> Deployed:
    """The same, for a test whose processes use that server."""
    assert prefect_api.api == deployments.api
    return deployments
