"""Every socket of a run and of ``ebb up`` is on a list with its protection, which is tried.

A new open port fails here: it is in no row, or it is one more than its row has, or the protection
of its row is not the one it has.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
from playwright.sync_api import Page

from ebbtide.flows.prefect_server import server
from ebbtide.infra.frameworks.door import basic, read_secret
from ebbtide.infra.platforms.base import Login
from tests.browser import other_origin, tab
from tests.clusters import Stand, run_spec, script, standing
from tests.contract.conftest import small
from tests.helpers import wait_until
from tests.security import probes
from tests.security.probes import Probe, http_status
from tests.security.sockets import Listener, listeners
from tests.stack.prefect import EBB


@dataclass(frozen=True, slots=True)
class Row:
    """Sockets that one kind of process may have, each at most once a process."""

    who: str
    """Matches its command line."""
    kind: str
    ways: tuple[Probe, ...]
    """One for each socket; it gets nothing who does not know what its owner knows."""


SOCKETS: dict[str, tuple[Row, ...]] = {
    "dask": (
        Row(r"frameworks\.dask\.head", "tcp", (probes.secret, probes.certificate)),
        Row(r"frameworks\.dask\.worker", "tcp", (probes.certificate,)),
    ),
    "ray": (
        Row(r"infra\.frameworks\.ray\.head", "tcp", (probes.secret,)),
        Row(r"/gcs_server ", "tcp", (probes.rpc_token,)),
        Row(r"/dashboard/dashboard\.py", "tcp", (probes.token,)),
        Row(r"/raylet/raylet ", "tcp", (probes.rpc_token, probes.rpc_token)),
        Row(r"DashboardAgent|dashboard/agent\.py", "tcp", (probes.token, probes.rpc_token)),
        Row(r"RuntimeEnvAgent|runtime_env/agent/main\.py", "tcp", (probes.token,)),
        Row(r"ray::|default_worker\.py", "tcp", (probes.rpc_token,)),
        Row(r"program\.py", "tcp", (probes.rpc_token,)),
        Row(r"", "unix", (probes.private_folder,) * 9),
    ),
    "spark": (
        Row(r"infra\.frameworks\.spark\.head", "tcp", (probes.secret,)),
        Row(r"spark\.deploy\.master\.Master", "tcp", (probes.signature, probes.sasl)),
        Row(r"spark\.deploy\.worker\.Worker", "tcp", (probes.signature, probes.sasl)),
        Row(r"CoarseGrainedExecutorBackend", "tcp", (probes.sasl,)),
        Row(
            r"spark\.deploy\.SparkSubmit",
            "tcp",
            (probes.signature, probes.py4j, probes.sasl, probes.sasl),
        ),
        Row(r"pyspark\.daemon", "tcp", (probes.daemon_secret,)),
        Row(r"program\.py", "tcp", (probes.accumulator_secret,)),
    ),
    "prefect": (
        Row(r"prefect worker start", "tcp", (probes.control_token,)),
        Row(r"uvicorn", "tcp", (probes.prefect_auth,)),
    ),
}

PROGRAMS = {
    "dask": "from distributed import Client; c = Client(); print(c.submit(sum, [1, 2]).result())",
    "ray": "import ray; ray.init(); print(ray.get(ray.remote(lambda: 3).remote()))",
    "spark": (
        "from pyspark.sql import SparkSession; c = SparkSession.builder.getOrCreate().sparkContext;"
        "print(c.parallelize([1, 2], 2).map(lambda x: x).sum())"
    ),
}
WAITS = "\nimport threading\nprint('works', flush=True)\nthreading.Event().wait()\n"


@pytest.fixture(scope="module", params=sorted(PROGRAMS))
def stand(
    request: pytest.FixtureRequest, home_of_module: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    """A cluster whose program has connected and works."""
    program = script(tmp_path_factory.mktemp(request.param), PROGRAMS[request.param] + WAITS)
    spec = run_spec(f"listens-{request.param}", small(request.param), program)
    with standing(home_of_module, spec, autoscale=False) as found:
        found.attempt.platform.start_job(found.attempt.cluster)
        output = home_of_module / "runs" / spec.name / "stdout.log"
        wait_until(lambda: output.exists() and "works" in output.read_text(), 180, "it works")
        yield found


@pytest.fixture
def found(stand: Stand) -> list[Listener]:
    return listeners(stand.home)


@pytest.fixture
def login(stand: Stand) -> Login:
    login = stand.attempt.platform.login(stand.attempt.cluster)
    assert login is not None
    return login


def wrong_with(found: list[Listener], rows: tuple[Row, ...]) -> list[str]:
    """What is listened on and is not on the list, or not protected as the list says."""
    used: Counter[tuple[int, Row, Probe]] = Counter()
    wrong = []
    for listener in found:
        row = next((r for r in rows if r.kind == listener.kind and fits(r, listener)), None)
        way = next((way for way in row.ways if way(listener)), None) if row else None
        if row is None or way is None:
            wrong.append(f"{listener.kind} {listener.where} of {listener.command[-200:]}")
            continue
        used[listener.pid, row, way] += 1
        if used[listener.pid, row, way] > row.ways.count(way):
            wrong.append(f"one more {way.__name__}: {listener.where} of {listener.command[-200:]}")
    return wrong


def fits(row: Row, listener: Listener) -> bool:
    return re.search(row.who, listener.command) is not None


def on_loopback(listener: Listener) -> bool:
    return listener.kind == "unix" or ipaddress.ip_address(listener.address).is_loopback


def test_sockets_of_a_run_are_on_the_list(stand: Stand, found: list[Listener]) -> None:
    rows = SOCKETS[stand.attempt.spec.cluster.framework]
    assert wrong_with(found, rows) == []
    unused = [row.who for row in rows if not any(fits(row, listener) for listener in found)]
    assert unused == [], "a row that matches nothing protects nothing"


def test_nothing_listens_beyond_this_machine(found: list[Listener]) -> None:
    assert found
    assert [listener for listener in found if not on_loopback(listener)] == []


def test_new_open_port_is_seen(stand: Stand, found: list[Listener]) -> None:
    argv = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "0"]
    with ended(subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)):
        new = wait_until(lambda: set(listeners(stand.home)) - set(found), 20, "it listens")
        assert wrong_with(list(new), SOCKETS[stand.attempt.spec.cluster.framework])
        row = Row("http.server", "tcp", tuple(protections()))
        assert wrong_with(list(new), (row,)), "a server without protection passes no probe"


def test_owner_comes_in_by_the_front(stand: Stand, login: Login) -> None:
    """Else a server that refuses everybody would pass for a protected one."""
    where = stand.view.dashboard.removeprefix("http://").partition("/")
    host, _, port = where[0].partition(":")
    front = Listener("tcp", host, int(port), 0, "")
    known = {"Authorization": basic(login.password)}
    assert http_status(front, f"/{where[2]}", **known) == 200
    assert http_status(front, "/ebb/status", **known) == 200
    assert http_status(front, "/ebb/status", **known, Host="evil.example") == 403
    assert http_status(front, "/ebb/status", **known, Origin="http://evil.example") == 403


def test_secret_stands_on_no_command_line_and_in_no_record(
    stand: Stand, found: list[Listener], login: Login
) -> None:
    folder = stand.home / "clusters" / stand.attempt.cluster
    assert read_secret(folder / "secrets") == login.password
    # In another process: who opens and closes SQLite's file loses the locks on it.
    search = ["grep", "-rlaF", "-f", str(login.password_file), str(stand.home)]
    done = subprocess.run(search, capture_output=True, text=True, check=False)
    told = [path for path in done.stdout.splitlines() if not path.startswith(f"{folder}/")]
    assert (told, str(login.password_file) in done.stdout) == ([], True)
    assert not any(login.password in listener.command for listener in found)
    assert login.password_file.stat().st_mode & 0o077 == 0


@pytest.fixture
def door(stand: Stand, tmp_path: Path) -> Path:
    """What ``ebb open`` hands to the browser."""
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$@" > {seen}\n')
    browser.chmod(0o755)
    environment = {**os.environ, "EBB_HOME": str(stand.home), "BROWSER": f"{browser} %s"}
    words = [*EBB, "open", stand.attempt.spec.name]
    subprocess.run(words, env=environment, capture_output=True, check=True)
    return Path(url2pathname(urlsplit(seen.read_text().strip()).path))


@pytest.fixture
def signed_in(door: Path) -> Iterator[Page]:
    """A browser that has just followed it."""
    with tab() as page:
        page.goto(door.as_uri())
        page.wait_for_url(re.compile(r"^http://[^@]+$"))
        yield page


def test_ebb_open_tells_the_secret_to_a_file_only(door: Path, login: Login) -> None:
    """The browser's command line has no more than the file's name."""
    assert login.password in door.read_text()
    assert login.password not in str(door)
    assert door.parent == login.password_file.parent
    assert door.stat().st_mode & 0o077 == 0


def test_ebb_open_brings_a_browser_in(stand: Stand, signed_in: Page, login: Login) -> None:
    """Dask's title comes by a websocket, Ray's job by its API, Spark's worker through two JVMs."""
    framework = stand.attempt.spec.cluster.framework
    if framework == "dask":
        wait_until(lambda: signed_in.title() == "Dask: Status", 60, "it is drawn")
    elif framework == "ray":
        signed_in.get_by_text("01000000").first.wait_for()
    else:
        signed_in.get_by_role("link", name=re.compile("^worker-")).first.click()
        wait_until(lambda: signed_in.title().startswith("Spark Worker at"), 60, "it is there")
    assert signed_in.url.startswith(stand.view.dashboard)
    assert login.password not in signed_in.content()


USED_BY_ANOTHER = """async base => {
  const frame = document.createElement('iframe'); frame.src = base + '/status?x';
  const loaded = new Promise(done => { frame.onload = done; document.body.append(frame); });
  await fetch(base + '/status?y', {method: 'POST', mode: 'no-cors', credentials: 'include'});
  await loaded;
  return await new Promise(done => {
    const socket = new WebSocket(base.replace('http', 'ws') + '/status/ws');
    socket.onopen = () => done('open'); socket.onerror = () => done('refused');
  });
}"""


def test_page_of_another_origin_cannot_use_what_the_browser_keeps(
    stand: Stand, signed_in: Page
) -> None:
    where = urlsplit(stand.view.dashboard)
    base, statuses = f"{where.scheme}://{where.netloc}", []
    signed_in.wait_for_load_state()
    with other_origin() as page_of_another:
        signed_in.goto(page_of_another)
        signed_in.on(
            "response", lambda got: statuses.append(got.status) if base in got.url else None
        )
        assert signed_in.evaluate(USED_BY_ANOTHER, base) == "refused"
    assert set(statuses) == {403}


@contextlib.contextmanager
def ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    with process:
        try:
            yield
        finally:
            process.kill()


def protections() -> set[Probe]:
    rows = [row for rows in SOCKETS.values() for row in rows]
    return {way for row in rows for way in row.ways if row.kind == "tcp"}


@pytest.mark.parametrize("words", ["up", "run --framework none -- true"])
def test_sockets_of_ebb_up_and_of_the_server_of_a_run_are_on_the_list(
    words: str, ebb_home: Path, tmp_path: Path
) -> None:
    environment = {key: value for key, value in os.environ.items() if "PREFECT" not in key}

    def ebb(words: str) -> None:
        argv = [*EBB, *words.split()]
        subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, check=True)

    try:
        ebb(words)
        found = wait_until(lambda: listeners(ebb_home), 120, "a server listens")
        assert [listener for listener in found if not on_loopback(listener)] == []
        assert wrong_with(found, SOCKETS["prefect"]) == []
    finally:
        ebb("down")
        server.stop(ebb_home)
