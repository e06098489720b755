"""NetworkPolicies that are enforced: a run works as ever, and nobody else gets a connection."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.detached.job import CONTAINER, flow_labels
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, LEASE, POD, Object
from ebbtide.infra.platforms.kubernetes.naming import ROLE, driver_name, head_name, selector
from ebbtide.infra.platforms.kubernetes.reading.snapshot import (
    is_ready,
    leaving,
    main_name,
    runs,
)
from ebbtide.infra.waiting import now_s
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import deployed, parts, policies
from tests.kubernetes.lab.__main__ import say
from tests.kubernetes.lab.first_contact import catalog_text
from tests.kubernetes.lab.place import Lab
from tests.kubernetes.team import POOL, Team

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("enforced")]

GATE = "/tmp/go"
PROGRAM = """
import os, time
from distributed import Client
from mine import twice

client = Client()
print(sum(client.gather(client.map(twice, range(10)))), flush=True)
while not os.path.exists("/tmp/go"):
    time.sleep(0.2)
print(sum(client.gather(client.map(twice, range(10, 20)))), flush=True)
open(os.environ["EBB_OUTPUT_DIR"] + "/result.txt", "w").write("mine")
"""
LISTENING = """
import re
text = open("/proc/net/tcp").read() + open("/proc/net/tcp6").read()
lines = (line.split() for line in text.splitlines() if not "local_address" in line)
heard = [words[1].split(":") for words in lines if words[3] == "0A"]
own = ("0100007F", "00000000000000000000000001000000")
print(*sorted({int(port, 16) for address, port in heard if address not in own}))
"""
CONNECTS = """
import json, socket, sys
found = {}
for place in json.loads(sys.argv[1]):
    try:
        socket.create_connection(place, timeout=3).close()
        found[place[1]] = "connected"
    except OSError as error:
        found[place[1]] = type(error).__name__
print(json.dumps(found))
"""
REFUSED = {"ConnectionRefusedError", "TimeoutError"}
"""As an enforcer likes: some answer, others say nothing."""
LATE_S = 6.0
WORKERS = ("--workers", "2", "--attempts", "1")
RUN = ("ebbtide", "run", "--platform", "kubernetes", *WORKERS, "--lease", "15s")


@pytest.fixture(scope="module")
def enforced(lab: Lab) -> Iterator[None]:
    with policies.enforced(lab, say):
        yield


@pytest.fixture
def site(team: Team, image: Image) -> Team:
    """A namespace in which Dask jobs, plain programs and flows may run."""
    text = catalog_text(POOL, {name: image(name) for name in ("dask", "none", "flow")})
    team.api.merge(CONFIG_MAP, "ebb-catalog", {"data": {"ebb.yaml": text}})
    (team.folder / "mine.py").write_text("def twice(x):\n    return 2 * x\n")
    (team.folder / "train.py").write_text(PROGRAM)
    return team


def told(site: Team, pod: str, container: str, *argv: str) -> str:
    """What a command prints in a container."""
    said = b""
    with site.api.run(pod, container, argv) as command:
        while (piece := command.read(30)) is not None:
            said += piece
    return said.decode()


def python(site: Team, pod: str, container: str, script: str, *more: str) -> str:
    program = str(layout.paths().python)
    return told(site, pod, container, program, "-c", script, *more)


def pods(site: Team, name: str) -> dict[str, Object]:
    """The pods of a run by their names."""
    found = site.api.list(POD, selector(ClusterId(f"{name}-1"))).items
    return {each["metadata"]["name"]: each for each in found if not leaving(each)}


def workers(site: Team, name: str) -> list[Object]:
    found = pods(site, name).values()
    return [each for each in found if each["metadata"]["labels"][ROLE] == "worker"]


def doors(site: Team, name: str) -> list[tuple[str, int]]:
    """Every port on which a pod of a run listens for others."""
    found = []
    for pod, thing in pods(site, name).items():
        ports = python(site, pod, main_name(thing), LISTENING).split()
        found += [(str(thing["status"]["podIP"]), int(port)) for port in ports]
    return found


def tries(
    site: Team, who: tuple[str, str], places: Sequence[tuple[str, int]]
) -> Mapping[tuple[str, int], str]:
    """What becomes of connections from a container to each of these."""
    found = {}
    for host in {host for host, _ in places}:
        there = [place for place in places if place[0] == host]
        said = json.loads(python(site, *who, CONNECTS, json.dumps(there)))
        found.update({place: said[str(place[1])] for place in there})
    return found


def begun(site: Team, name: str, *more: str) -> subprocess.Popen[bytes]:
    run = site.start(*RUN, "--name", name, *more, "train.py")
    wait_until(lambda: site.printed(name) or run.poll() is not None, 180, f"{name} prints")
    assert run.poll() is None, (site.folder / "out").read_text()
    return run


def goes_on(site: Team, name: str) -> None:
    told(site, driver_name(ClusterId(f"{name}-1")), "driver", "/bin/sh", "-c", f"touch {GATE}")


def test_members_that_are_refused_until_they_are_known_try_again(lab: Lab, site: Team) -> None:
    """An enforcer learns of a pod some time after the pod has begun; here it learns nothing."""
    run = begun(site, "late")
    head = pods(site, "late")[head_name(ClusterId("late-1"))]
    wait_until(lambda: policies.has_rules_for(lab, head["status"]["podIP"]), 30, "it has rules")
    before = {each["metadata"]["name"] for each in workers(site, "late")}
    parts.send(lab, policies.ENFORCER, signal.SIGSTOP)
    try:
        site.api.delete(POD, min(before))

        def fresh() -> list[Object]:
            found = workers(site, "late")
            return [each for each in found if each["metadata"]["name"] not in before]

        wait_until(
            lambda: [each for each in fresh() if runs(each, main_name(each))], 90, "another begins"
        )
        until_s = now_s() + LATE_S
        wait_until(lambda: now_s() > until_s, LATE_S + 5, "it has tried for some seconds")
        assert not any(map(is_ready, fresh())), "it is kept away"
    finally:
        parts.proceed(lab, policies.ENFORCER)
    wait_until(lambda: any(map(is_ready, fresh())), 60, "it has joined")
    goes_on(site, "late")
    assert run.wait(120) == 0, (site.folder / "out").read_text()
    assert site.printed("late") == ["90", "290"]
    assert site.left("late") == []


def test_detached_run_and_commands_from_elsewhere_work(site: Team, image: Image) -> None:
    deployed.install_flow(site.api, image("flow"))
    began = site.start(*RUN, "--detach", "--name", "far", "train.py")
    assert began.wait(180) == 0, (site.folder / "out").read_text()
    site.variables["EBB_HOME"] = str(site.folder / "second")
    wait_until(lambda: "90" in site.runs("logs", "far").stdout, 180, "its output is read")
    assert "far" in site.runs("ps").stdout
    (flow,) = site.api.list(POD, flow_labels(RunName("far"))).items
    places = doors(site, "far")
    inside = min(workers(site, "far"), key=lambda each: str(each["metadata"]["name"]))
    let_in = tries(site, (inside["metadata"]["name"], main_name(inside)), places)
    assert set(let_in.values()) == {"connected"}, "the same request from one of its own pods"
    refused = tries(site, (flow["metadata"]["name"], CONTAINER), places)
    assert set(refused.values()) <= REFUSED, "it asks by the API server alone"
    goes_on(site, "far")

    def over() -> bool:
        found = site.store.run(RunName("far"))
        return found is not None and found.over

    wait_until(over, 120, "it ends")
    found = site.store.run(RunName("far"))
    assert found is not None
    assert found.phase is Phase.SUCCEEDED
    assert site.left("far") == []
    assert site.api.list(LEASE, {ROLE: "cluster"}).items == []
    site.variables["EBB_HOME"] = str(site.folder / "home")
    assert site.runs("logs", "far", "--from", "output/result.txt").stdout == "mine"
