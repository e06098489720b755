"""One real Prefect server for all tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.prefect_server import server
from flows.prefect_server.server import ServerInfo


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
