"""Each switch of the lab does what it says, and takes it back."""

from __future__ import annotations

import socket

import pytest
from kubernetes import client

from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.lab import control_plane, faults, parts, simulated
from tests.kubernetes.lab.place import Lab


def test_stopped_server_accepts_and_does_not_answer(lab: Lab) -> None:
    with faults.stopped(lab):
        socket.create_connection((lab.address, 6443), timeout=5).close()
        assert control_plane.ask(lab, "/version") == ""
    assert "gitVersion" in control_plane.ask(lab, "/version")


def test_killed_server_comes_back_with_what_it_knew(
    lab: Lab, api: client.ApiClient, space: str
) -> None:
    before = parts.pid_of(lab, "kube-apiserver")
    with faults.killed(lab):
        assert control_plane.ask(lab, "/version") == ""
    assert parts.pid_of(lab, "kube-apiserver") != before
    assert client.CoreV1Api(api).read_namespace(space).status.phase == "Active"


def test_refused_requests_fail_at_once(lab: Lab) -> None:
    with faults.refused(lab), pytest.raises(ConnectionRefusedError):
        socket.create_connection((lab.address, 6443), timeout=5).close()
    assert control_plane.ready(lab)


@pytest.mark.parametrize("fault", [faults.drain, pytest.param(faults.lose, marks=pytest.mark.long)])
def test_pods_of_a_node_that_goes_run_on_another(
    lab: Lab, api: client.ApiClient, space: str, fault: object
) -> None:
    pool = f"short-{fault.__name__}"  # type: ignore[attr-defined]
    simulated.make_pool(api, pool, cores=2, most_nodes=3, boot_s=1)
    workloads.deploy(api, space, 1, "1", workloads.on_pool(pool))
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "the pod runs")
    (first,) = [node.metadata.name for node in workloads.nodes_of(api, pool)]
    fault(api, first)  # type: ignore[operator]

    def moved() -> bool:
        pods = client.CoreV1Api(api).list_namespaced_pod(space).items
        running = [pod for pod in pods if pod.status.phase == "Running"]
        living = [pod for pod in running if pod.metadata.deletion_timestamp is None]
        return bool(living) and all(pod.spec.node_name != first for pod in living)

    wait_until(moved, 90, "it runs on another node")
    simulated.delete_pool(api, pool)
