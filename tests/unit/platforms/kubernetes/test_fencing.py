"""Of several flow processes exactly one holds a cluster's Lease."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.clusters import fencing
from ebbtide.infra.platforms.kubernetes.clusters.fencing import (
    Standing,
    claim,
    held_by_another,
    holder_of,
    judged,
    me,
    resign,
)
from ebbtide.infra.platforms.kubernetes.kinds import LEASE
from ebbtide.infra.platforms.kubernetes.naming import AWAITED
from tests.api_server import InMemoryApi, Server

CLUSTER = ClusterId("heron-1")
ONE, OTHER = "pod-a_1_2_elsewhere", "pod-b_3_4_elsewhere"
DURATION_S = 30
DRIVES, FOLLOWS, GONE = Standing.DRIVES, Standing.FOLLOWS, Standing.GONE


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(fencing, "now_s", found)
    monkeypatch.setattr(fencing, "_judges", {})
    return found


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def api(server: Server) -> InMemoryApi:
    """Of a namespace with a Lease that nobody holds."""
    api = InMemoryApi(server)
    spec = {"leaseDurationSeconds": DURATION_S}
    head = {"apiVersion": LEASE.api, "kind": LEASE.name}
    api.create({**head, "metadata": {"name": CLUSTER}, "spec": spec})
    server.asked.clear()
    return api


def lease(api: InMemoryApi) -> dict[str, Any]:
    found = api.get(LEASE, CLUSTER)
    assert found is not None
    return found


def test_first_one_takes_it_and_the_second_follows(api: InMemoryApi, clock: Clock) -> None:
    assert [claim(api, CLUSTER, who=who) for who in (ONE, OTHER)] == [DRIVES, FOLLOWS]
    assert (holder_of(lease(api)), lease(api)["spec"]["leaseTransitions"]) == (ONE, 1)


def test_where_there_is_no_lease_nobody_drives(clock: Clock) -> None:
    assert claim(InMemoryApi(Server()), CLUSTER, who=ONE) is GONE


def test_renewal_costs_one_request(api: InMemoryApi, server: Server, clock: Clock) -> None:
    claim(api, CLUSTER, who=ONE)
    server.asked.clear()
    assert claim(api, CLUSTER, 60, who=ONE) is DRIVES
    assert server.methods() == ["PATCH"]
    assert lease(api)["spec"]["leaseDurationSeconds"] == 60


def test_holder_that_goes_silent_is_followed_by_who_waits(api: InMemoryApi, clock: Clock) -> None:
    claim(api, CLUSTER, who=ONE)
    for clock.now_s in (0, 10, 20):
        assert claim(api, CLUSTER, who=OTHER) is FOLLOWS
    clock.now_s = DURATION_S
    assert claim(api, CLUSTER, who=OTHER) is DRIVES
    assert (holder_of(lease(api)), lease(api)["spec"]["leaseTransitions"]) == (OTHER, 2)


def test_who_comes_back_late_finds_that_another_drives(api: InMemoryApi, clock: Clock) -> None:
    claim(api, CLUSTER, who=ONE)
    for clock.now_s in (0, DURATION_S / 2, DURATION_S):
        claim(api, CLUSTER, who=OTHER)
    assert claim(api, CLUSTER, who=ONE) is FOLLOWS
    assert holder_of(lease(api)) == OTHER


def test_of_two_at_the_same_moment_one_is_quicker(
    api: InMemoryApi, server: Server, clock: Clock
) -> None:
    def between(request: Any) -> None:
        if request.method == "PATCH":
            server.before = lambda _: None
            assert claim(InMemoryApi(server), CLUSTER, who=OTHER) is DRIVES

    server.before = between
    assert claim(api, CLUSTER, who=ONE) is FOLLOWS
    assert holder_of(lease(api)) == OTHER


def test_nobody_releases_a_cluster_that_has_a_successor(api: InMemoryApi, clock: Clock) -> None:
    claim(api, CLUSTER, who=ONE)
    assert not judged(lease(api))
    for clock.now_s in (10, 20):
        claim(api, CLUSTER, who=OTHER)
        assert AWAITED in lease(api)["metadata"]["annotations"]
        assert not judged(lease(api))
    for clock.now_s in (DURATION_S + 1, 10 + DURATION_S):
        assert not judged(lease(api))
    clock.now_s = 20 + DURATION_S
    assert judged(lease(api))


def test_who_resigns_need_not_be_waited_for(api: InMemoryApi, clock: Clock) -> None:
    claim(api, CLUSTER, who=ONE)
    resign(api, CLUSTER, who=OTHER)
    assert holder_of(lease(api)) == ONE
    resign(api, CLUSTER, who=ONE)
    assert claim(api, CLUSTER, who=OTHER) is DRIVES


def test_one_that_was_killed_on_this_machine_is_known_to_be_dead_at_once(
    api: InMemoryApi, clock: Clock
) -> None:
    program = "from ebbtide.infra.platforms.kubernetes.clusters.fencing import me; print(me())"
    dead = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    claim(api, CLUSTER, who=dead.stdout.decode().strip())
    assert claim(api, CLUSTER) is DRIVES
    assert holder_of(lease(api)) == me()


def test_one_that_lives_on_this_machine_is_another(api: InMemoryApi, clock: Clock) -> None:
    claim(api, CLUSTER)
    assert not held_by_another(lease(api))
    assert held_by_another(lease(api), OTHER)
