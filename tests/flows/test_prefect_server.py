"""The local Prefect server: started once, on loopback, quiet, and it ends itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ebbtide.flows.cli.main import main
from ebbtide.flows.prefect_server import server
from ebbtide.flows.prefect_server.api import Api
from ebbtide.flows.prefect_server.certificates import checked
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.models.phases import ExitCode
from tests.helpers import marked_processes, wait_until

ENSURE = """
import sys
from pathlib import Path
from ebbtide.flows.prefect_server import server
print(server.ensure(Path(sys.argv[1]), deadline_s=180, idle_s=3600).pid)
"""


@pytest.fixture
def own_home(ebb_home: Path) -> Iterator[Path]:
    yield ebb_home
    server.stop(ebb_home)


def listeners(info: ServerInfo) -> set[str]:
    keeper = psutil.Process(info.pid)
    tree = [keeper, *keeper.children(recursive=True)]
    return {
        connection.laddr.ip
        for process in tree
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def test_two_processes_that_ask_at_once_get_one_server(own_home: Path) -> None:
    argv = [sys.executable, "-c", ENSURE, str(own_home)]
    pair = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=180)[0] for process in pair]
    assert answers[0] == answers[1] != ""


def test_it_answers(prefect_server: ServerInfo) -> None:
    with urllib.request.urlopen(f"{prefect_server.url}/health", timeout=10) as answer:
        assert answer.status == 200


def test_it_listens_on_loopback_only(prefect_server: ServerInfo) -> None:
    assert listeners(prefect_server) == {"127.0.0.1"}


def test_it_is_found_again_and_not_started_twice(
    prefect_server: ServerInfo, server_home: Path
) -> None:
    assert server.ensure(server_home, deadline_s=5, idle_s=3600) == prefect_server


def test_nothing_is_left_after_stop(own_home: Path) -> None:
    server.ensure(own_home, deadline_s=180, idle_s=3600)
    assert server.stop(own_home)
    wait_until(lambda: not marked_processes(own_home), 10, "keeper and server are gone")
    assert server.running(own_home) is None


def test_server_dies_with_a_killed_keeper(own_home: Path) -> None:
    info = server.ensure(own_home, deadline_s=180, idle_s=3600)
    os.kill(info.pid, signal.SIGKILL)
    wait_until(lambda: not marked_processes(own_home), 15, "the kernel ends the server")
    assert server.running(own_home) is None


def test_it_ends_itself_when_nobody_uses_it(own_home: Path) -> None:
    server.ensure(own_home, deadline_s=180, idle_s=2)
    wait_until(lambda: not marked_processes(own_home), 30, "the idle server ends itself")


def test_two_homes_that_start_at_once_get_a_server_each(tmp_path: Path) -> None:
    """Both find the usual port free; whoever loses it must not take the other's for its own."""
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        server.start_early(home, idle_s=3600)
    try:
        urls = [server.ensure(home, deadline_s=180, idle_s=3600).url for home in homes]
        assert len(set(urls)) == len(homes)
        pids = [server.ensure(home, deadline_s=5, idle_s=3600) for home in homes]
        assert all(listeners(info) == {"127.0.0.1"} for info in pids)
    finally:
        for home in homes:
            server.stop(home)


def test_stale_record_of_a_dead_server_is_not_believed(ebb_home: Path) -> None:
    folder = ebb_home / "prefect"
    folder.mkdir()
    record = {"url": "http://127.0.0.1:9/api", "ui_url": "", "pid": 2**22, "started": 1}
    more = {"idle_s": 1.0, "home": str(ebb_home)}
    (folder / "server.json").write_text(json.dumps({**record, **more}))
    assert server.running(ebb_home) is None


def test_server_that_cannot_start_says_at_once_why_and_names_its_log(
    ebb_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ebb_home / "prefect").mkdir()
    (ebb_home / "prefect" / "prefect.db").mkdir()  # a folder where the database should be
    monkeypatch.setenv("XDG_CACHE_HOME", str(ebb_home))
    with pytest.raises(ProvisioningError) as error:
        server.ensure(ebb_home, deadline_s=120, idle_s=3600)
    assert "unable to open database file" in error.value.detail
    assert "server.log" in error.value.hint


def test_owner_types_prefect_with_its_home_alone(own_home: Path) -> None:
    info = server.ensure(own_home, deadline_s=180, idle_s=3600)
    assert prefect(own_home, "config", "view").count(info.url)
    assert "No work pools" in prefect(own_home, "work-pool", "ls")


def test_server_with_a_certificate_of_its_own_answers_by_tls_only(own_home: Path) -> None:
    (own_home / "prefect").mkdir(mode=0o700)
    bind = checked("127.0.0.1", "", "", self_signed=True, folder=own_home / "prefect")
    info = server.ensure(own_home, deadline_s=180, idle_s=3600, bind=bind)
    assert info.url.startswith("https://127.0.0.1")
    assert "No work pools" in prefect(own_home, "work-pool", "ls")
    with pytest.raises(OSError, match=r"closed|reset|disconnected"):
        Api(info.url.replace("https", "http")).call("health", timeout_s=10)


@pytest.mark.parametrize("secret", ["", "ebb:wrong"])
def test_command_without_the_right_secret_of_a_named_server_names_the_variable(
    prefect_api: ServerInfo,
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", secret)
    for words in (["emit", "x", "--resource", "y"], ["run", "--framework", "none", "--", "true"]):
        assert main(words) == ExitCode.MISCONFIGURATION
        said = capsys.readouterr().err
        assert "answers 401" in said
        assert "PREFECT_API_AUTH_STRING" in said
    assert prefect_api.url in said


def prefect(home: Path, *words: str) -> str:
    """Prefect's own command, as the owner types it."""
    environment = {key: v for key, v in os.environ.items() if not key.startswith("PREFECT")}
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        env={**environment, "PREFECT_HOME": str(home / "prefect")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
