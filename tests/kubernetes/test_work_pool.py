"""``ebb run --detach`` where Prefect has a kubernetes work pool: its real server and worker."""

from __future__ import annotations

import json
import subprocess
from functools import partial

import pytest

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason, Step
from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.clusters import fencing
from ebbtide.infra.platforms.kubernetes.detached.job import flow_labels, job_name
from ebbtide.infra.platforms.kubernetes.kinds import (
    CONFIG_MAP,
    JOB,
    LEASE,
    POD,
    SECRET,
    Kind,
    Object,
)
from ebbtide.infra.platforms.kubernetes.naming import driver_name
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import deployed, first_contact
from tests.kubernetes.prefect_pool import POOL, Prefect
from tests.kubernetes.team import LEASE_S, Team
from tests.kubernetes.team import POOL as TEAMS_POOL
from tests.kubernetes.test_detached import (
    PROGRAM,
    SECRET_VALUE,
    adopted_since,
    driver,
    ebb,
    found,
    is_ready,
    keeps_files,
)

PREFECTS = "prefect-job"


@pytest.fixture
def away(team: Team, image: Image, prefect: Prefect) -> Team:
    """A namespace and a work pool whose administrator lets flows live there."""
    images = {name: image(name) for name in ("none", "flow", "prefect")}
    text = first_contact.catalog_text(TEAMS_POOL, images)
    team.api.merge(CONFIG_MAP, catalog.NAME, {"data": {"ebb.yaml": text}})
    deployed.install_flow(team.api, images["flow"])
    doctor = ("doctor", "--platform", "kubernetes", "--print", "work-pool")
    prefect.give_template(team.runs(*doctor).stdout)
    prefect.change_pool(is_paused=False)
    (team.folder / "train.py").write_text(PROGRAM)
    (team.folder / "helper.py").write_text('WORD = "sent"')
    team.variables |= {"TOKEN": SECRET_VALUE, **prefect.client}
    return team


def start(team: Team, name: str, seconds: int, *more: str) -> subprocess.Popen[bytes]:
    options = ("--platform", "kubernetes", "--framework", "none", "--lease", f"{LEASE_S}s")
    words = ("--detach", "--secret", "TOKEN", "--name", name, *more, "train.py", str(seconds))
    return team.start("ebbtide", "run", *options, *words)


def detached(team: Team, name: str, seconds: int) -> None:
    """Begin a run; returns when its launcher has ended."""
    assert start(team, name, seconds).wait(240) == 0, (team.folder / "out").read_text()


def said(team: Team) -> str:
    return (team.folder / "out").read_text()


def pods(team: Team, name: str) -> list[Object]:
    return list(team.api.list(POD, flow_labels(RunName(name))).items)


def gone(team: Team, kind: Kind, name: str) -> bool:
    return team.api.get(kind, name) is None


def test_a_run_of_a_work_pool_needs_its_launcher_no_more_and_is_seen_in_prefect(
    away: Team, worker: Prefect
) -> None:
    checked = away.runs("doctor", "--platform", "kubernetes").stdout
    assert f"{POOL} of {worker.api.url}, of type kubernetes, with a live Prefect worker" in checked
    detached(away, "far", 4)
    assert f"  Flow     by work pool {POOL} of {worker.api.url}" in said(away)
    assert "Detached." in said(away)
    (pod,) = pods(away, "far")
    assert pod["spec"]["containers"][0]["name"] == PREFECTS
    flow_run = worker.flow_run("far")
    assert flow_run["parameters"] == {"run": "far"}
    for told in (pod, flow_run, away.api.get(JOB, job_name(RunName("far")))):
        assert SECRET_VALUE not in json.dumps(told)
    assert not (away.folder / "home/runs/far").exists()
    wait_until(lambda: found(away, "far").over, 120, "the run ends")
    assert found(away, "far").phase is Phase.SUCCEEDED
    assert away.left("far") == []
    wait_until(lambda: worker.flow_run("far")["state_name"] == "Completed", 60, "Prefect knows")
    seven = {step.value for step in Step}
    wait_until(lambda: worker.tasks("far") == seven, 30, "seven tasks are recorded")
    assert SECRET_VALUE not in worker.logs("far")
    wait_until(lambda: keeps_files(away, "far"), 30, "its pod keeps what the records have not")
    lines = ebb(away, "second", "logs", "far").split("\n")
    assert lines[:2] == [f"token {len(SECRET_VALUE)} sent", "0"]
    assert ebb(away, "home", "logs", "far", "--from", "output/kept.txt") == "kept"
    for kind in (JOB, SECRET):
        wait_until(partial(gone, away, kind, "far-flow"), 60, "it goes")
    assert worker.flow_run("far")["state_name"] == "Completed"


def test_a_pool_that_is_paused_is_waited_for_with_a_deadline(away: Team, worker: Prefect) -> None:
    worker.change_pool(is_paused=True)
    assert start(away, "late", 1, "--start-within", "8s").wait(120) != 0
    assert f"work pool {POOL} is paused; prefect work-pool resume {POOL}" in said(away)
    assert "for 8.0s at most" in said(away)
    assert found(away, "late").reason is Reason.LAUNCH_FAILED
    assert worker.flow_run("late")["state_type"] == "CANCELLED"
    assert (away.api.get(JOB, "late-flow"), away.left("late")) == (None, [])


@pytest.mark.long
def test_a_flow_whose_pod_is_lost_comes_back_into_its_flow_run(away: Team, worker: Prefect) -> None:
    detached(away, "tough", 30)
    (pod,) = pods(away, "tough")
    cluster = ClusterId("tough-1")
    wait_until(lambda: is_ready(away.api.get(POD, driver_name(cluster))), 90, "the program runs")
    uid, before = driver(away, "tough"), fencing.holder_of(away.api.get(LEASE, cluster) or {})
    away.api.delete(POD, pod["metadata"]["name"], grace_s=1)
    adopted = partial(adopted_since, away, cluster, before)
    wait_until(adopted, 90, "the flow that came back holds the Lease")
    assert driver(away, "tough") == uid
    wait_until(lambda: found(away, "tough").over, 120, "the run ends")
    assert found(away, "tough").phase is Phase.SUCCEEDED
    wait_until(lambda: worker.flow_run("tough")["state_name"] == "Completed", 60, "Prefect knows")
    numbers = ebb(away, "second", "logs", "tough").split("\n")[1:31]
    assert numbers == [str(number) for number in range(30)]
    assert away.left("tough") == []


@pytest.mark.long
def test_a_run_is_stopped_by_who_cancels_its_flow_run(away: Team, worker: Prefect) -> None:
    detached(away, "ended", 300)
    wait_until(lambda: worker.flow_run("ended")["state_type"] == "RUNNING", 60, "it runs")
    worker.cancel("ended")
    wait_until(lambda: found(away, "ended").over, 60, "the run ends")
    assert found(away, "ended").phase is Phase.CANCELLED
    wait_until(lambda: worker.flow_run("ended")["state_type"] == "CANCELLED", 60, "Prefect knows")
    wait_until(lambda: away.left("ended") == [], 30, "nothing is left")


@pytest.mark.long
def test_ebb_stop_stops_it_and_prefect_knows(away: Team, worker: Prefect) -> None:
    detached(away, "halted", 300)
    ebb(away, "second", "stop", "halted")
    wait_until(lambda: found(away, "halted").over, 60, "the run ends")
    wait_until(lambda: worker.flow_run("halted")["state_type"] == "CANCELLED", 60, "Prefect knows")
    assert away.left("halted") == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("image_of", "words"),
    [
        ("missing", "cannot start: image docker.io/ebb-lab/no-such:1 cannot be pulled: "),
        ("flow", "No module named 'ebbtide.flows'"),
    ],
)
def test_an_image_that_will_not_do_is_told(
    image_of: str, words: str, away: Team, worker: Prefect, image: Image
) -> None:
    name, jobs = f"odd-{image_of}", worker.pool()["base_job_template"]
    pod = jobs["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    bad = image(image_of) if image_of != "missing" else "docker.io/ebb-lab/no-such:1"
    pod["containers"][0]["image"] = bad
    worker.give_template(json.dumps(jobs))
    assert start(away, name, 1).wait(240) != 0
    assert words in said(away), said(away)
    assert "its image is the work pool's, and needs Prefect in it" in said(away)
    assert found(away, name).reason is Reason.LAUNCH_FAILED
    assert worker.flow_run(name)["state_type"] in ("CANCELLED", "CRASHED")
    wait_until(lambda: away.api.get(JOB, f"{name}-flow") is None, 30, "the Job goes")


@pytest.mark.long
def test_a_job_that_the_worker_may_not_make_is_told_in_its_words(
    away: Team, worker: Prefect
) -> None:
    jobs = worker.pool()["base_job_template"]
    jobs["job_configuration"]["job_manifest"]["spec"]["backoffLimit"] = "many"
    worker.give_template(json.dumps(jobs))
    assert start(away, "refused", 1).wait(240) != 0
    assert f"work pool {POOL}: its flow run is Crashed: " in said(away)
    assert "Unable to create Kubernetes job" in said(away)
    assert found(away, "refused").reason is Reason.LAUNCH_FAILED
