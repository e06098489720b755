"""What becomes of a cluster on pods when whoever drove it is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from ebbtide.flows.launch import BEGIN
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.platforms.kubernetes.clusters import fencing
from ebbtide.infra.platforms.kubernetes.kinds import DEPLOYMENT, LEASE, POD
from ebbtide.infra.platforms.kubernetes.naming import AWAITED, driver_name
from ebbtide.infra.waiting import now_s
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import deployed
from tests.kubernetes.team import LEASE_S, Team


def reaper_runs(team: Team) -> bool:
    found = team.api.get(DEPLOYMENT, "ebb-reaper") or {}
    return bool(found.get("status", {}).get("readyReplicas"))


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def gone(team: Team, name: str) -> Callable[[], bool]:
    return lambda: not team.left(name)


def test_reaper_releases_what_lost_everybody_and_ends_its_run(team: Team) -> None:
    printed = team.runs("doctor", "--platform", "kubernetes", "--print", "reaper").stdout
    deployed.install(team.api, printed)
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


def test_doctor_names_the_images_that_the_pools_node_has_and_how_to_install_the_reaper(
    team: Team, image: Image
) -> None:
    doctor, has = ("doctor", "--platform", "kubernetes"), f"{image('none')} on 1 of 1 nodes"
    fix = f"--print reaper | kubectl apply -n {team.api.namespace} -f -"
    assert fix in team.runs(*doctor).stdout
    wait_until(lambda: has in team.runs(*doctor).stdout, 120, "the kubelet tells of its images")


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
    assert second.stdin is not None
    second.stdin.write(BEGIN)
    second.stdin.flush()

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
