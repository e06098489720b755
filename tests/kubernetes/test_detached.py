"""``ebb run --detach`` on Kubernetes: the flow lives in the namespace, and needs no laptop."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.clusters import fencing
from ebbtide.infra.platforms.kubernetes.detached.job import CONTAINER, flow_labels, job_name
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, JOB, LEASE, POD, SECRET, Object
from ebbtide.infra.platforms.kubernetes.naming import driver_name
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import deployed, first_contact
from tests.kubernetes.team import LEASE_S, Team
from tests.kubernetes.team import POOL as TEAMS_POOL

PROGRAM = """
import os, pathlib, sys, time, helper
print("token", len(os.environ["TOKEN"]), helper.WORD, flush=True)
for number in range(int(sys.argv[1])):
    print(number, flush=True)
    time.sleep(1)
pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "kept.txt").write_text("kept")
"""
OF_A_CLUSTER = """
import os, pathlib
from distributed import Client
from helper import twice

client = Client()
print(len(client.scheduler_info()["workers"]), sum(client.gather(client.map(twice, range(10)))))
pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "kept.txt").write_text("kept")
"""
SECRET_VALUE = "correct horse battery"
_KILLED = ("/bin/sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")


@pytest.fixture
def away(team: Team, image: Image, monkeypatch: pytest.MonkeyPatch) -> Team:
    """A namespace whose administrator lets flows live there."""
    deployed.install_flow(team.api, image("flow"))
    (team.folder / "train.py").write_text(PROGRAM)
    (team.folder / "helper.py").write_text('WORD = "sent"')
    team.variables["TOKEN"] = SECRET_VALUE
    return team


def detached(team: Team, name: str, seconds: int) -> None:
    """Begin a run; returns when its launcher has ended."""
    assert start(team, name, seconds).wait(120) == 0, (team.folder / "out").read_text()


def start(team: Team, name: str, seconds: int) -> subprocess.Popen[bytes]:
    options = ("--platform", "kubernetes", "--framework", "none", "--lease", f"{LEASE_S}s")
    words = ("--detach", "--secret", "TOKEN", "--name", name, "train.py", str(seconds))
    return team.start("ebbtide", "run", *options, *words)


def flow_pod(team: Team, name: str) -> Object:
    (pod,) = team.api.list(POD, flow_labels(RunName(name))).items
    return pod


def found(team: Team, name: str) -> Run:
    run = team.store.run(RunName(name))
    assert run is not None
    return run


def is_over(team: Team, name: str) -> bool:
    return found(team, name).over


def keeps_files(team: Team, name: str) -> bool:
    return f"with files; ebb logs {name} fetches them" in ebb(team, "third", "held")


def ebb(team: Team, home: str, *words: str) -> str:
    """What ``ebb`` prints in an installation: ``home`` has begun the run, others have not."""
    team.variables["EBB_HOME"] = str(team.folder / home)
    (team.folder / "out").write_text("")
    team.start("ebbtide", *words).wait(60)
    return (team.folder / "out").read_text()


def test_a_detached_run_needs_its_launcher_no_more(away: Team) -> None:
    detached(away, "far", 4)
    pod = flow_pod(away, "far")
    assert "Detached." in (away.folder / "out").read_text()
    assert SECRET_VALUE not in json.dumps(pod)
    assert away.flow("far") > 0
    assert not (away.folder / "home/runs/far").exists()
    wait_until(lambda: found(away, "far").over, 90, "the run ends")
    assert found(away, "far").phase is Phase.SUCCEEDED
    assert away.left("far") == []
    wait_until(lambda: keeps_files(away, "far"), 30, "its pod keeps what the records have not")
    said = ebb(away, "second", "logs", "far")
    assert said.split("\n")[:2] == [f"token {len(SECRET_VALUE)} sent", "0"]
    assert "Succeeded" in ebb(away, "second", "ps", "-a")
    assert ebb(away, "home", "logs", "far", "--from", "output/kept.txt") == "kept"
    job = job_name(RunName("far"))
    wait_until(lambda: away.api.get(JOB, job) is None, 60, "the Job goes: all has been fetched")
    wait_until(lambda: away.api.get(SECRET, job) is None, 20, "its Secret goes")


@pytest.mark.long
def test_a_detached_run_with_a_cluster_leaves_its_files_where_it_was_told(
    away: Team, image: Image, volume: Path
) -> None:
    images = {name: image(name) for name in ("none", "flow", "dask")}
    text = first_contact.catalog_text(TEAMS_POOL, images)
    away.api.merge(CONFIG_MAP, catalog.NAME, {"data": {"ebb.yaml": text}})
    (away.folder / "train.py").write_text(OF_A_CLUSTER)
    (away.folder / "helper.py").write_text("def twice(x):\n    return 2 * x\n")
    words = ("--workers", "2", "--lease", f"{LEASE_S}s", "--outputs", "volume://kept/outputs")
    began = away.start(
        *("ebbtide", "run", "--platform", "kubernetes", *words),
        *("--detach", "--name", "vast", "train.py"),
    )
    assert began.wait(180) == 0, (away.folder / "out").read_text()
    wait_until(partial(is_over, away, "vast"), 180, "the run ends")
    assert found(away, "vast").phase is Phase.SUCCEEDED
    assert ebb(away, "second", "logs", "vast").split("\n")[0] == "2 90"
    assert away.left("vast") == []
    assert [file.read_text() for file in volume.glob("outputs/**/kept.txt")] == ["kept"]


@pytest.mark.long
def test_a_launcher_that_dies_before_the_flow_has_taken_over_leaves_nothing(away: Team) -> None:
    began = start(away, "early", 60)
    job = job_name(RunName("early"))
    wait_until(lambda: away.api.get(JOB, job) is not None, 60, "its Job is there")
    began.kill()
    wait_until(lambda: found(away, "early").over, 120, "the pod ends a run whose code did not come")
    assert found(away, "early").reason is Reason.LAUNCH_FAILED
    assert away.left("early") == []
    wait_until(lambda: away.api.get(JOB, job) is None, 120, "the Job goes")


def killed(team: Team, pod: str) -> None:
    with team.api.run(pod, CONTAINER, _KILLED) as command:
        while command.read(1.0) is not None:
            pass


def lost(team: Team, pod: str) -> None:
    team.api.delete(POD, pod, grace_s=1)


@pytest.mark.parametrize("happens", [killed, pytest.param(lost, marks=pytest.mark.long)])
def test_a_flow_comes_back_and_the_program_runs_once(
    away: Team, happens: Callable[[Team, str], None]
) -> None:
    detached(away, "tough", 20)
    pod = flow_pod(away, "tough")["metadata"]["name"]
    cluster = ClusterId("tough-1")
    wait_until(lambda: is_ready(away.api.get(POD, driver_name(cluster))), 60, "the program runs")
    uid, before = driver(away, "tough"), fencing.holder_of(away.api.get(LEASE, cluster) or {})
    happens(away, pod)
    adopted = partial(adopted_since, away, cluster, before)
    wait_until(adopted, 60, "the flow that came back holds the Lease")
    assert driver(away, "tough") == uid
    wait_until(lambda: found(away, "tough").over, 90, "the run ends")
    assert found(away, "tough").phase is Phase.SUCCEEDED
    numbers = ebb(away, "second", "logs", "tough").split("\n")[1:21]
    assert numbers == [str(number) for number in range(20)]
    assert away.left("tough") == []


def is_ready(pod: Object | None) -> bool:
    conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def adopted_since(team: Team, cluster: ClusterId, before: str) -> bool:
    """Whether another than that one holds the cluster's Lease now."""
    lease = team.api.get(LEASE, cluster)
    return lease is not None and fencing.holder_of(lease) not in ("", before)


def driver(team: Team, name: str) -> str:
    """The uid of its program's pod."""
    pod = team.api.get(POD, driver_name(ClusterId(f"{name}-1")))
    assert pod is not None
    return str(pod["metadata"]["uid"])
