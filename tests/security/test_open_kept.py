"""``ebb open RUN`` after release: what is kept is as private as the dashboard was."""

from __future__ import annotations

import ipaddress
import json
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.infra.files.private import private_folder
from ebbtide.infra.frameworks.door import basic
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import cluster_spec, run_spec
from tests.helpers import marked_processes, wait_until
from tests.security import probes
from tests.security.probes import http_status
from tests.security.sockets import Listener, listeners
from tests.stack.prefect import EBB

EVENTS = """\
{"Event":"SparkListenerLogStart","Spark Version":"4.0.0"}
{"Event":"SparkListenerApplicationStart","App Name":"kept","App ID":"app-1","Timestamp":1790000000000,"User":"u"}
{"Event":"SparkListenerApplicationEnd","Timestamp":1790000001000}
"""  # noqa: E501
"""Spark looks for lines that begin so, to the letter, and lists no application of before 2010."""
Keep = Callable[..., Path]


@pytest.fixture
def keep(monkeypatch: pytest.MonkeyPatch) -> Keep:
    """Makes a run that has been released, with one artifact; no browser on this machine."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)

    def make(home: Path, framework: str, name: str, text: str) -> Path:
        spec, ledger = run_spec("kept", cluster_spec(framework)), Ledger(home)
        runs.begin(ledger, spec)
        runs.end(ledger, spec.name, None, 0)
        ledger.close()
        where, _, file = f"artifacts/{name}".rpartition("/")
        path = private_folder(home, "runs", "kept", *where.split("/")) / file
        path.write_text(text)
        path.chmod(0o600)
        return path

    return make


def test_a_report_is_opened_as_a_file_of_its_owner(
    ebb_home: Path, keep: Keep, capsys: pytest.CaptureFixture[str]
) -> None:
    page = keep(ebb_home, "dask", "head/report.html", "<!doctype html>")
    assert main(["open", "kept"]) == ExitCode.OK
    assert capsys.readouterr().out.split()[-1] == page.as_uri()
    assert main(["open", "kept", "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["url"], found["opened"], found["user"]) == (page.as_uri(), False, None)
    for folder in page.relative_to(ebb_home).parents:
        assert stat.S_IMODE((ebb_home / folder).stat().st_mode) == 0o700


def test_other_files_are_listed_with_what_shows_them(
    ebb_home: Path, keep: Keep, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(ebb_home, "ray", "worker-0/raylet.out", "a line\n")
    assert main(["open", "kept"]) == ExitCode.OK
    assert "ebb logs kept --from worker-0/raylet.out" in capsys.readouterr().out
    assert main(["logs", "kept", "--from", "worker-0/raylet.out"]) == ExitCode.OK
    assert capsys.readouterr().out == "a line\n"


@dataclass(frozen=True, slots=True)
class Shown:
    """A history server that ``ebb open`` shows, by what that says."""

    process: subprocess.Popen[str]
    url: str
    user: str
    secret_file: Path

    def ended(self, home: Path) -> bool:
        """Whether nothing of it is left, neither processes nor its folder."""
        return not marked_processes(home) and not self.secret_file.parent.exists()


@pytest.fixture
def shown(ebb_home: Path, keep: Keep) -> Iterator[Shown]:
    keep(ebb_home, "spark", "driver/eventlog/app-1", EVENTS)
    argv, pipe = [*EBB, "open", "kept"], subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        if not all(lines):
            pytest.fail(process.communicate()[1])
        url, user, file = (line.split()[-1] for line in lines)
        yield Shown(process, url, user, Path(file))
        process.kill()


def test_a_history_server_lets_in_who_knows_the_secret(ebb_home: Path, shown: Shown) -> None:
    password, where = shown.secret_file.read_text(), urlsplit(shown.url)
    known = {"Authorization": basic(password)}
    front = Listener("tcp", where.hostname or "", where.port or 0, 0, "")
    assert http_status(front, "/api/v1/applications/app-1", **known) == 200
    assert http_status(front, "/ebb/open", **known) == 303
    assert http_status(front, "/", **known, Origin="http://evil.example") == 403
    java, ours = sorted(listeners(ebb_home), key=lambda each: "HistoryServer" not in each.command)
    assert ipaddress.ip_address(java.address).is_loopback
    assert probes.signature(java)
    assert probes.secret(ours)
    assert not any(password in each.command for each in marked_processes(ebb_home))
    folder = shown.secret_file.parent
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {0o700, 0o600}
    shown.process.send_signal(signal.SIGINT)
    assert shown.process.wait(30) == ExitCode.OK
    wait_until(lambda: shown.ended(ebb_home), 30, "nothing is left")


def test_a_history_server_ends_with_its_command_also_when_that_is_killed(
    ebb_home: Path, shown: Shown
) -> None:
    shown.process.kill()
    wait_until(lambda: shown.ended(ebb_home), 30, "nothing is left")
