"""A cluster that a flow holds: shared by programs, adopted, replaced, kept while suspended."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.prefect_server.api import Api
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.flows.flow_runs import FlowRun, flow_run
from tests.helpers import wait_until

PROGRAM = """
import pathlib, sys, threading
here, word = pathlib.Path(__file__).parent, sys.argv[1]
with open(here / "started", "a") as log:
    log.write(word + "\\n")
if word == "waits":
    threading.Event().wait(60)
if word == "fails" and not (here / "mended").exists():
    sys.exit(3)
"""
HELD = """
    from prefect.flow_runs import suspend_flow_run
    @flow
    def main():
        program = Path("program.py").absolute()
        with cluster("none", %s) as held:
            held.run(program, "first")
            %s
            held.run(program, "last")
"""
BOTH = """
    def hold(name):
        with cluster("none", name=name) as held:
            held.run(Path("program.py").absolute(), "waits", name=name)

    @flow
    def main():
        with parallel() as group:
            for name in ("one", "two"):
                group.submit(hold, name)
"""
ROOM_FOR_ONE = """
pools:
  tight: {platform: local, cpu: 500m, memory: 1Gi}
tiers:
  all: {cpu: 500m, memory: 1Gi, pool: tight}
"""
ON_DASK = """
    @flow
    def main():
        with cluster("dask", workers=(1, 2)) as held:
            assert held.client.submit(sum, [1, 2, 3]).result() == 6
            made = held.run(Path("program.py").absolute(), name="sum")
            assert made.output("sum.json", dict[str, int]) == {"sum": 6}
"""
DASK_PROGRAM = """
import json, os
from distributed import Client
with Client() as client, open(os.environ["EBB_OUTPUT_DIR"] + "/sum.json", "w") as out:
    json.dump({"sum": client.submit(sum, [1, 2, 3]).result()}, out)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


class Flows:
    """Makes flow runs that hold a cluster."""

    def __init__(self, api: Api, home: Path, folder: Path):
        self.api, self.home, self.folder = api, home, folder

    def __call__(self, options: str = "", between: str = "pass") -> FlowRun:
        return flow_run(self.api, self.home, self.folder, HELD % (options, between))


@pytest.fixture
def holding(prefect_api: ServerInfo, ebb_home: Path, folder: Path) -> Flows:
    return Flows(prefect_api.api, ebb_home, folder)


def started(folder: Path) -> list[str]:
    log = folder / "started"
    return log.read_text().split() if log.exists() else []


def held(home: Path) -> list[Any]:
    return LocalPlatform(Settings(home=home)).held()


def leases(home: Path) -> list[float]:
    ledger = Ledger(home)
    found = [row["lease_s"] for row in ledger.rows("SELECT lease_s FROM clusters")]
    ledger.close()
    return found


def test_a_retry_does_not_run_again_what_ended_well_on_the_cluster(
    holding: Flows, ebb_home: Path, folder: Path
) -> None:
    flow = holding(between='held.run(program, "fails")')
    assert flow.run() == "Failed", flow.log()
    assert held(ebb_home) == []
    (run,) = flow.ledger_runs()
    assert f"{run['name']}/program-2: the program exited with 3" in flow.read()["state"]["message"]
    (folder / "mended").touch()
    flow.retry()
    assert flow.run() == "Completed", flow.log()
    assert started(folder) == ["first", "fails", "fails", "last"]


def test_a_killed_flow_finds_its_cluster_and_the_program_that_still_runs(
    holding: Flows, ebb_home: Path, folder: Path
) -> None:
    flow = holding(between='held.run(program, "waits")')
    process = flow.start()
    wait_until(lambda: "waits" in started(folder), 60, "the program runs")
    process.kill()
    process.wait()
    flow.retry()
    again = flow.start()
    wait_until(lambda: flow.log().count("attach_autoscaler") > 1, 60, "the cluster is adopted")
    again.send_signal(signal.SIGTERM)
    wait_until(lambda: again.poll() is not None, 20, "it ends")
    assert started(folder) == ["first", "waits"]
    assert (len(flow.ledger_runs()), held(ebb_home)) == (1, [])


def test_a_killed_flows_program_ends_with_the_cluster(
    holding: Flows, ebb_home: Path, folder: Path
) -> None:
    flow = holding('lease="3s"', 'held.run(program, "waits")')
    process = flow.start()
    wait_until(lambda: "waits" in started(folder), 60, "the program runs")
    process.kill()
    process.wait()
    wait_until(lambda: not held(ebb_home), 15, "the lease lapses and nothing is left")


def test_a_suspended_flow_releases_its_cluster_and_has_another_on_resume(
    holding: Flows, ebb_home: Path, folder: Path
) -> None:
    flow = holding(between="suspend_flow_run()")
    assert flow.run() == "Suspended", flow.log()
    assert held(ebb_home) == []
    flow.resume()
    assert flow.run() == "Completed", flow.log()
    assert started(folder) == ["first", "last"]
    assert [row["phase"] for row in flow.ledger_runs()] == ["Succeeded", "Succeeded"]


def test_a_kept_cluster_outlives_its_lease_once_and_is_adopted_on_resume(
    holding: Flows, ebb_home: Path, folder: Path
) -> None:
    twice = 'suspend_flow_run(key="a"); suspend_flow_run(key="b")'
    flow = holding('lease="4s", keep_while_suspended="30m"', twice)
    assert flow.run() == "Suspended", flow.log()
    assert leases(ebb_home) == [1800]
    with pytest.raises(AssertionError):
        wait_until(lambda: not held(ebb_home), 6, "it is released with its ordinary lease")
    flow.resume()
    assert flow.run() == "Suspended", flow.log()
    assert leases(ebb_home) == [4]
    assert (held(ebb_home), len(flow.ledger_runs())) == ([], 1)
    assert started(folder) == ["first"]


def test_a_cluster_that_was_kept_for_too_short_is_replaced_on_resume(
    holding: Flows, ebb_home: Path, folder: Path
) -> None:
    flow = holding('lease="2s", keep_while_suspended="4s"', "suspend_flow_run()")
    assert flow.run() == "Suspended", flow.log()
    wait_until(lambda: not held(ebb_home), 20, "the longer lease lapses")
    flow.resume()
    assert flow.run() == "Completed", flow.log()
    assert started(folder) == ["first", "last"]
    lapsed, replaced = flow.ledger_runs()
    assert (lapsed["reason"], replaced["phase"]) == ("INFRA:LEASE_LAPSED", "Succeeded")
    assert "stayed suspended" in lapsed["detail"]


def test_clusters_held_side_by_side_are_released_also_one_that_waits_for_room(
    holding: Flows, ebb_home: Path, folder: Path
) -> None:
    (folder / "ebb.yaml").write_text(ROOM_FOR_ONE)
    flow = flow_run(holding.api, ebb_home, folder, BOTH)
    process = flow.start()
    wait_until(lambda: started(folder) and len(leases(ebb_home)) == 2, 60, "one runs, one waits")
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: process.poll() is not None, 60, "the flow process ends")
    assert (held(ebb_home), len(started(folder))) == ([], 1)


def test_programs_and_the_flow_share_a_dask_cluster(
    prefect_api: ServerInfo, ebb_home: Path, folder: Path
) -> None:
    (folder / "program.py").write_text(DASK_PROGRAM)
    flow = flow_run(prefect_api.api, ebb_home, folder, ON_DASK)
    assert flow.run() == "Completed", flow.log()
    assert len(leases(ebb_home)) == 1
