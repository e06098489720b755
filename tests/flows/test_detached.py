"""A detached run's flow run on a real Prefect server; what makes its Job and pod is played here.

``tests/kubernetes/test_work_pool.py`` has the real worker, Job and pod.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.detached import template
from ebbtide.flows.detached.__main__ import FlowRun
from ebbtide.flows.detached.ordering import WorkPoolFlow
from ebbtide.flows.detached.pools import VARIABLE, WorkPool, choose
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.phases import Phase, Step
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms import extras
from ebbtide.infra.platforms.extras import FlowOrder
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.flows.flow_runs import call
from tests.helpers import wait_until

POD = """
import sys
from ebbtide.flows.detached.__main__ import FlowRun
from ebbtide.infra.processes.identity import this_process
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings
settings, name = load_settings(), sys.argv[1]
store, flow_run = open_store(settings), FlowRun(settings, name)
flow_run.heed_sigterm()
store.register_flow_process(name, this_process(), None)
try:
    flow_run.drive(settings, store, store.run(name))
finally:
    flow_run.ended(store.run(name))
"""
"""What the pod does with a run that it has taken over."""
WAITS = (
    "import pathlib, sys, time\n"
    "print('started', flush=True)\n"
    "with pathlib.Path('starts').open('a') as file: file.write('x')\n"
    "while not pathlib.Path('go').exists(): time.sleep(0.05)\n"
)


class Catalog:
    pools = ()


class Order:
    """A run, and its flow run on a work pool of the server."""

    def __init__(self, info: ServerInfo, home: Path, folder: Path):
        self.info, self.folder = info, folder
        self.ledger = Ledger(home)
        (folder / "train.py").write_text(WAITS)
        request = RunRequest(argv=("train.py",), options={"framework": "none"})
        self.name = runs.begin(self.ledger, spec_for(request, os.environ, folder)).name
        self.pool = f"pool-{self.name}"
        jobs = json.loads(template.base_job_template("kubernetes", {}, folder))
        body = {"name": self.pool, "type": "kubernetes", "base_job_template": jobs}
        call(info.api, "work_pools/", body)
        self.flow = WorkPoolFlow(WorkPool(info.api, self.pool), "team")
        self.flow.make(FlowOrder(self.name, "abc", 600))

    def flow_run(self) -> dict[str, Any]:
        """What the server has of it."""
        asked = {"flow_runs": {"name": {"any_": [self.name]}}}
        (found,) = call(self.info.api, "flow_runs/filter", asked)
        return dict(found)

    def set_state(self, type_: str) -> None:
        """As a worker does, or the UI."""
        state = {"type": type_, "name": type_.capitalize()}
        path = f"flow_runs/{self.flow_run()['id']}/set_state"
        call(self.info.api, path, {"state": state, "force": True})

    def pod(self, **more: str) -> subprocess.Popen[bytes]:
        """The process that a Prefect worker starts for it."""
        variables = {**os.environ, "PREFECT__FLOW_RUN_ID": str(self.flow_run()["id"]), **more}
        with (self.folder / "pod.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", POD, self.name],
                cwd=self.folder,
                env=variables,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def run(self) -> Run:
        """What the records have of it."""
        found = self.ledger.run(self.name)
        assert found is not None
        return found

    def log(self) -> str:
        """What its processes have said."""
        return (self.folder / "pod.log").read_text()

    def started(self) -> bool:
        """Whether the program has."""
        return (self.folder / "starts").exists()


@pytest.fixture
def order(
    prefect_api: ServerInfo, ebb_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Order:
    real = extras.catalog_on

    def of_nobody(environ: Any, cwd: Path, asked: Any) -> Any:
        kubernetes = asked.get("platform") == "kubernetes"
        return (Catalog, {}) if kubernetes else real(environ, cwd, asked)

    monkeypatch.setattr(extras, "catalog_on", of_nobody)
    return Order(prefect_api, ebb_home, tmp_path)


def test_the_server_takes_a_flow_run_for_a_work_pool_without_a_deployment(order: Order) -> None:
    made = order.flow_run()
    assert (made["state_type"], made["work_pool_name"]) == ("SCHEDULED", order.pool)
    assert made["parameters"] == {"run": order.name}
    assert "has no live Prefect worker" in order.flow.look()
    call(order.info.api, f"work_pools/{order.pool}", {"is_paused": True}, "PATCH")
    order.flow._looked_s = 0.0
    assert "is paused" in order.flow.look()
    order.flow.give_up("Ctrl-C")
    assert order.flow_run()["state_type"] == "CANCELLED"


def test_the_pool_is_found_on_the_server_that_is_named(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, order.pool)
    found = choose(os.environ, "team").pool
    assert found is not None
    assert found.name == order.pool
    monkeypatch.delenv(VARIABLE)
    assert "this machine's loopback" in choose(os.environ, "team").why


def test_a_flow_that_was_killed_comes_back_into_its_flow_run(order: Order) -> None:
    order.set_state("PENDING")
    first = order.pod()
    wait_until(order.started, 90, "the program has started")
    wait_until(lambda: order.flow_run()["state_type"] == "RUNNING", 30, "Prefect knows")
    first.kill()
    first.wait()
    second = order.pod()
    wait_until(lambda: order.run().flow_process is not None, 30, "it is taken over")
    wait_until(lambda: order.run().flow_process.pid == second.pid, 60, "by the second")  # type: ignore[union-attr]
    (order.folder / "go").touch()
    assert second.wait(120) == 0, order.log()
    assert order.run().phase is Phase.SUCCEEDED
    assert (order.folder / "starts").read_text() == "x"
    assert order.flow_run()["state_name"] == "Completed"
    asked = {"flow_runs": {"name": {"any_": [order.name]}}}

    def tasks() -> set[str]:
        found = call(order.info.api, "task_runs/filter", asked)
        return {task["name"] for task in found if task["state_name"] == "Completed"}

    wait_until(lambda: tasks() == {step.value for step in Step}, 30, "seven tasks are recorded")


def test_a_run_that_is_cancelled_in_prefect_before_it_begins_makes_nothing(order: Order) -> None:
    order.set_state("CANCELLING")
    assert order.pod().wait(120) != 124
    assert order.run().phase is Phase.CANCELLED
    assert not order.started()
    assert order.flow_run()["state_type"] == "CANCELLED"


def test_a_pod_of_another_kubernetes_ends_the_wait_of_who_has_ordered_it(
    order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", str(order.flow_run()["id"]))
    elsewhere = Settings(home=order.folder, namespace="team")
    FlowRun(elsewhere, order.name).ended(None)
    with pytest.raises(EbbError, match=f"no run {order.name} in team of this pod's Kubernetes"):
        order.flow.look()


def test_a_pod_that_does_not_reach_prefect_drives_the_run_all_the_same(order: Order) -> None:
    (order.folder / "go").touch()
    pod = order.pod(PREFECT_API_URL="http://127.0.0.1:9/api")
    assert pod.wait(120) == 0, order.log()
    assert order.run().phase is Phase.SUCCEEDED
    warned = [event.message for event in order.ledger.events(order.name)]
    assert any("not recorded in Prefect: " in message for message in warned)


def test_one_that_is_told_to_go_leaves_the_run_to_the_next(order: Order) -> None:
    order.set_state("PENDING")
    pod = order.pod()
    wait_until(order.started, 90, "the program has started")
    wait_until(lambda: order.flow_run()["state_type"] == "RUNNING", 30, "Prefect knows")
    pod.send_signal(signal.SIGTERM)
    assert pod.wait(60) == 128 + signal.SIGTERM
    assert not order.run().over
    (order.folder / "go").touch()
    assert order.pod().wait(120) == 0, order.log()
    assert order.run().phase is Phase.SUCCEEDED


def test_one_that_is_told_to_go_because_it_is_cancelled_in_prefect_ends_its_run(
    order: Order,
) -> None:
    order.set_state("PENDING")
    pod = order.pod()
    wait_until(order.started, 90, "the program has started")
    order.set_state("CANCELLING")
    pod.send_signal(signal.SIGTERM)
    pod.wait(60)
    assert order.run().phase is Phase.CANCELLED
    assert order.flow_run()["state_type"] == "CANCELLED"
