"""Flows with a deployment of their own on Kubernetes: a user's, and ``retrain`` with its event.

They run in pods that a real Prefect worker makes for a work pool, or in a process of this machine;
their clusters are on pods. Their template is Prefect's own, as docs/kubernetes.md has it changed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from ebbtide.infra.models.phases import Phase
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.clusters import holdings
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP
from ebbtide.infra.waiting import wall_s
from tests.flows.flow_runs import call
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import deployed, first_contact
from tests.kubernetes.prefect_pool import FILES, Prefect
from tests.kubernetes.team import POOL, Team

FLOW = """
from pathlib import Path
from prefect import flow, get_run_logger
from prefect.runtime import flow_run
from ebbtide import cluster, job, parallel

HERE = Path(__file__).parent

@flow
def mine() -> None:
    made = job(HERE / "prepare.py", name="prepare", framework="none")
    parts = made.output("parts.json", list[str])
    with cluster("dask", workers=1) as held:
        total = held.client.submit(sum, [1, 2]).result()
        with parallel() as group:
            runs = [group.submit(held.run, HERE / "train.py", part, name=part) for part in parts]
        trained = [(run.result().output_dir / "trained").read_text() for run in runs]
    get_run_logger().info("found %s %s", total, trained)

@flow
def fails_once() -> None:
    job(HERE / "prepare.py", name="prepare", framework="none")
    if flow_run.run_count == 1:
        raise ValueError("the first time")

@flow
def waits() -> None:
    job(HERE / "waits.py", name="waits", framework="none")
"""
PREPARE = """
import json, os
json.dump(["a", "b"], open(os.environ["EBB_OUTPUT_DIR"] + "/parts.json", "w"))
"""
TRAIN = """
import os, sys
from distributed import Client
with open(os.environ["EBB_OUTPUT_DIR"] + "/trained", "w") as out:
    out.write(sys.argv[1] + str(Client().submit(sum, [1, 2]).result()))
"""
WAITS = """
import threading
print("begun", flush=True)
threading.Event().wait(600)
"""
DEPLOYMENTS = f"""
pull:
- prefect.deployments.steps.set_working_directory: {{directory: {FILES}}}
deployments:
- {{name: mine, entrypoint: "flows_of_mine.py:mine"}}
- {{name: fails-once, entrypoint: "flows_of_mine.py:fails_once"}}
- {{name: waits, entrypoint: "flows_of_mine.py:waits"}}
"""
PROGRAMS = {"flows_of_mine.py": FLOW, "prepare.py": PREPARE, "train.py": TRAIN, "waits.py": WAITS}
ORDERS = "".join(f"{x},{-x},{2 * x}\n" for x in (0.1, 0.2, 0.3, 0.4))
"""A data set, as the program of ``retrain`` reads it."""
RETRAIN = Path(__file__).parents[2] / "deployments.yaml"
ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
UPDATED, ORDERS_FILE = "dataset.updated", "orders.csv"


@pytest.fixture
def users(api: client.ApiClient, team: Team, image: Image, worker: Prefect) -> Team:
    """A namespace where flows may live, and a work pool whose flows live there."""
    images = {name: image(name) for name in ("none", "flow", "dask", "prefect")}
    text = first_contact.catalog_text(POOL, images)
    team.api.merge(CONFIG_MAP, catalog.NAME, {"data": {"ebb.yaml": text}})
    deployed.install_flow(team.api, images["flow"])
    files = {"metadata": {"name": "mine"}, "data": {**PROGRAMS, ORDERS_FILE: ORDERS}}
    client.CoreV1Api(api).create_namespaced_config_map(team.api.namespace, files)
    worker.take_flows_of_users(team.api.namespace, images["prefect"], "mine")
    worker.change_pool(is_paused=False)
    for name, program in PROGRAMS.items():
        (team.folder / name).write_text(program)
    (team.folder / "deployments.yaml").write_text(DEPLOYMENTS)
    (team.folder / ORDERS_FILE).write_text(ORDERS)
    team.variables |= {**worker.client, "PREFECT_HOME": str(team.folder / "prefect")}
    team.variables["EBB_PLATFORM"] = "kubernetes"
    return team


def runs_of(team: Team) -> list[Run]:
    """All runs of the namespace, in the order in which they were asked for."""
    return list(team.store.runs())


def left(team: Team) -> list[str]:
    """All that any cluster of the namespace holds."""
    return [each.name for each in holdings.held(team.api, None, wall_s())]


def state_of(prefect: Prefect, flow_run: str) -> dict[str, Any]:
    """The state of a flow run, by its id."""
    found = call(prefect.api, f"flow_runs/{flow_run}", method="GET")
    return dict(found["state"])


def ended(prefect: Prefect, flow_run: str, timeout_s: float = 240) -> tuple[str, str]:
    """The name and message of the state in which a flow run has ended."""

    def over() -> bool:
        return state_of(prefect, flow_run)["type"] in ENDS

    wait_until(over, timeout_s, "the flow run ends")
    state = state_of(prefect, flow_run)
    return state["name"], state["message"]


def logged(prefect: Prefect, name: str, words: str) -> None:
    """Wait until the log of a flow run has these words: Prefect writes it a little later."""
    wait_until(lambda: words in prefect.logs(name), 30, words)


def emit(team: Team, version: int, file: str) -> str:
    """Say that the data set has changed; gives the id of the flow run that this begins."""
    facts = ("-p", f"version={version}", "-p", f"uri={file}", "--wait", "60", "--json")
    done = team.runs("emit", UPDATED, "--resource", "dataset.orders", *facts)
    assert done.returncode == 0, done.stderr
    (flow_run,) = json.loads(done.stdout)["flow_runs"]
    return str(flow_run["id"])


def test_a_users_flow_runs_in_a_pod_of_a_work_pool_with_its_jobs_and_cluster(
    users: Team, worker: Prefect
) -> None:
    worker.begin(worker.deploy(users.folder / "deployments.yaml", "mine"), "first")
    name, message = ended(worker, worker.flow_run("first")["id"])
    assert name == "Completed", message + worker.logs("first")
    logged(worker, "first", "found 3 ['a3', 'b3']")
    tasks = {"prepare", "a", "b"}
    wait_until(lambda: tasks <= worker.tasks("first"), 30, "its tasks are recorded")
    assert [run.phase for run in runs_of(users)] == [Phase.SUCCEEDED] * 2  # job and cluster
    assert left(users) == []


@pytest.mark.long
def test_a_users_flow_that_is_retried_in_another_pod_does_not_do_again_what_is_done(
    users: Team, worker: Prefect
) -> None:
    worker.begin(worker.deploy(users.folder / "deployments.yaml", "fails-once"), "twice")
    flow_run = worker.flow_run("twice")["id"]
    assert ended(worker, flow_run)[0] == "Failed"
    again = {"type": "SCHEDULED", "name": "AwaitingRetry", "message": "retry"}
    call(worker.api, f"flow_runs/{flow_run}/set_state", {"state": again, "force": True})
    name, message = ended(worker, flow_run)
    assert name == "Completed", message + worker.logs("twice")
    (run,) = runs_of(users)
    logged(worker, "twice", f"done before, by run {run.name}")


@pytest.mark.long
def test_a_users_flow_that_is_cancelled_in_prefect_leaves_nothing(
    users: Team, worker: Prefect
) -> None:
    worker.begin(worker.deploy(users.folder / "deployments.yaml", "waits"), "second")
    wait_until(
        lambda: [run.phase for run in runs_of(users)] == [Phase.RUNNING],
        180,
        "its job runs",
    )
    worker.cancel("second")
    wait_until(lambda: left(users) == [], 60, "nothing is left")
    (run,) = runs_of(users)
    wait_until(lambda: runs_of(users)[0].over, 30, "the run has ended")
    assert runs_of(users)[0].phase is Phase.CANCELLED, run
    cancelled = "Prefect knows"
    wait_until(lambda: worker.flow_run("second")["state_type"] == "CANCELLED", 60, cancelled)


def test_retrain_is_started_by_its_event_in_a_process_of_this_machine_and_trains_on_pods(
    users: Team, worker: Prefect
) -> None:
    deployment = worker.deploy(RETRAIN, "retrain")
    call(worker.api, f"deployments/{deployment}", {"parameters": {"framework": "dask"}}, "PATCH")
    worker.change_pool(is_paused=True)  # nobody but this machine takes it
    flow_run = emit(users, 7, str(users.folder / ORDERS_FILE))
    assert users.start("prefect", "flow-run", "execute", flow_run).wait(240) == 0
    (run,) = runs_of(users)
    name, message = ended(worker, flow_run)
    assert name == "Completed", message
    assert message.startswith(f"run {run.name}: error ")
    assert (run.phase, run.spec.cluster.framework) == (Phase.SUCCEEDED, "dask")
    assert left(users) == []


@pytest.mark.long
def test_retrain_in_pods_of_a_work_pool_trains_once_for_two_events_of_one_version(
    users: Team, worker: Prefect
) -> None:
    worker.deploy(RETRAIN, "retrain")
    worker.change_pool(is_paused=True)
    flow_runs = [emit(users, 8, f"{FILES}/{ORDERS_FILE}") for _ in range(2)]
    worker.change_pool(is_paused=False)  # both at once
    found = dict(ended(worker, flow_run) for flow_run in flow_runs)
    assert found.keys() == {"Completed", "Skipped"}, found
    (run,) = runs_of(users)
    assert found["Completed"].startswith(f"run {run.name}: error ")
    assert found["Skipped"].startswith("dataset.orders 8 is ")
    assert found["Skipped"].endswith(f" by run {run.name}")
    assert run.phase is Phase.SUCCEEDED
    assert left(users) == []
