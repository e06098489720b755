"""What becomes of a cluster on pods when whoever drove it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.platforms.kubernetes.clusters import fencing, holdings
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, LEASE, POD
from ebbtide.infra.platforms.kubernetes.naming import AWAITED, driver_name
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import now_s, wall_s
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import first_contact, reaper
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.pools.values import Pool

LEASE_S = 5
SLOW = "import time\nfor i in range({}):\n    print(i, flush=True)\n    time.sleep(1)\n"
POOL = Pool(name="reaped", cores=2, memory_gib=4, most=1, node=NODE)


class Team:
    """Whoever uses one namespace, from this machine."""

    def __init__(self, kubeconfig: str, space: str, folder: Path):
        self.api = Api(Access(kubeconfig=kubeconfig, namespace=space))
        self.store = KubernetesStore(self.api, Ledger(folder / "looks"))
        self.folder = folder
        self.began: list[subprocess.Popen[bytes]] = []
        self._variables = {
            **{name: text for name, text in os.environ.items() if not name.startswith("EBB_")},
            "KUBECONFIG": kubeconfig,
            "EBB_NAMESPACE": space,
            "EBB_HOME": str(folder / "home"),
            "EBB_PREFECT_SERVER": "off",
        }

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a process of ours."""
        with (self.folder / "out").open("ab") as out:
            began = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.folder,
                env=self._variables,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.began.append(began)
        return began

    def end(self) -> None:
        """End all processes that were begun."""
        for began in self.began:
            began.kill()
            began.communicate()
        self.store.close()

    def run(self, name: str, seconds: int) -> subprocess.Popen[bytes]:
        """Begin a run, and return its ``ebb run`` when its program prints."""
        (self.folder / "slow.py").write_text(SLOW.format(seconds))
        options = ("--platform", "kubernetes", "--framework", "none", "--lease", f"{LEASE_S}s")
        began = self.start("ebbtide", "run", *options, "--name", name, "slow.py")
        wait_until(lambda: self.printed(name), 120, f"{name} prints")
        return began

    def says(self, *words: str) -> str:
        """What one command of ours tells."""
        argv = [sys.executable, "-m", "ebbtide", *words]
        found = subprocess.run(
            argv, check=False, cwd=self.folder, env=self._variables, stderr=subprocess.PIPE
        )
        return found.stderr.decode()

    def printed(self, name: str) -> list[str]:
        """The lines that were copied to this machine."""
        path = self.folder / "home/runs" / name / "stdout.log"
        return path.read_text().split() if path.exists() else []

    def flow(self, name: str) -> int:
        """The process that drives a run."""
        found = self.store.run(RunName(name))
        assert found is not None
        assert found.flow_process is not None
        return found.flow_process.pid

    def left(self, name: str) -> list[str]:
        """All that is alive of a run's first cluster."""
        return [each.name for each in holdings.held(self.api, ClusterId(f"{name}-1"), wall_s())]


@pytest.fixture(scope="module")
def pool(api: client.ApiClient) -> Iterator[None]:
    """The real node as the only one of a pool."""
    core = client.CoreV1Api(api)
    for label in (POOL.name, None):
        core.patch_node(NODE, {"metadata": {"labels": {POOL.label: label}}})
        if label:
            yield


@pytest.fixture
def team(here: Api, guarded: str, pool: None, image: Image, tmp_path: Path) -> Iterator[Team]:
    """A namespace that refuses privileges, with a catalog."""
    text = first_contact.catalog_text(POOL, {"none": image("none")})
    head = {"apiVersion": CONFIG_MAP.api, "kind": CONFIG_MAP.name}
    here.create({**head, "metadata": {"name": catalog.NAME}, "data": {"ebb.yaml": text}})
    team = Team(here.access.kubeconfig, guarded, tmp_path)
    yield team
    team.end()
    team.api.close()


def reaper_runs(team: Team) -> bool:
    found = team.api.get(DEPLOYMENT, "ebb-reaper") or {}
    return bool(found.get("status", {}).get("readyReplicas"))


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def gone(team: Team, name: str) -> Callable[[], bool]:
    return lambda: not team.left(name)


def test_reaper_releases_what_lost_everybody_and_ends_its_run(team: Team, image: Image) -> None:
    reaper.install(team.api, image("flow"))
    began = team.run("orphan", 600)
    wait_until(lambda: reaper_runs(team), 120, "the reaper runs")
    killed_s = now_s()
    kill(team.flow("orphan"), began.pid)
    wait_until(gone(team, "orphan"), LEASE_S + 60, "nothing is left")
    assert now_s() - killed_s >= LEASE_S - 1
    wait_until(lambda: ended(team, "orphan"), 60, "its run has ended")
    last = team.store.last_cluster(RunName("orphan"))
    assert last is not None
    assert (last.released_by, last.release_reason) == ("reaper", Reason.LEASE_LAPSED)


def ended(team: Team, name: str) -> bool:
    found = team.store.run(RunName(name))
    return found is not None and found.phase is Phase.FAILED


def test_without_a_reaper_commands_see_what_nobody_wants_and_one_that_changes_things_releases_it(
    team: Team,
) -> None:
    """Each is a process of its own; ``ebb ps`` only tells."""
    began = team.run("lost", 600)
    kill(team.flow("lost"), began.pid)
    wait_until(lambda: "no living owner: lost-1" in team.says("ps"), 60, "ebb ps tells")
    assert team.left("lost")
    assert "released what had no living owner: lost-1" in team.says("prune", "--older-than", "9d")
    assert team.left("lost") == []


def test_of_two_flow_processes_one_drives_and_the_other_takes_over(team: Team) -> None:
    """The program is never begun twice, and its output is whole."""
    began = team.run("shared", 25)
    driver = team.api.get(POD, driver_name(ClusterId("shared-1")))
    first = team.flow("shared")
    second = team.start("ebbtide.flows.flow_process", "shared")

    def lease() -> dict[str, Any]:
        return team.api.get(LEASE, "shared-1") or {}

    def waits() -> bool:
        return AWAITED in lease()["metadata"].get("annotations", {})

    wait_until(waits, 60, "the second one waits")
    assert f"_{first}_" in fencing.holder_of(lease())
    kill(first, began.pid)
    wait_until(lambda: f"_{second.pid}_" in fencing.holder_of(lease()), 30, "it takes over")
    assert lease()["spec"]["leaseTransitions"] == 2
    again = team.api.get(POD, driver_name(ClusterId("shared-1")))
    assert driver is not None
    assert again is not None
    assert driver["metadata"]["uid"] == again["metadata"]["uid"]
    second.wait(120)
    found = team.store.run(RunName("shared"))
    assert found is not None
    assert (found.phase, team.printed("shared")) == (
        Phase.SUCCEEDED,
        [str(number) for number in range(25)],
    )
    assert team.left("shared") == []
