"""A real node, the lab's or yours: containers run, are reached, measured, limited, not found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.lab import metrics_api, node
from tests.kubernetes.workloads import OWN_CLUSTER, pods, runs, state, writes

METRICS = ("metrics.k8s.io", "v1beta1")
PAGE = "echo hello > /scratch/index.html; echo serving; exec httpd -f -p 8080 -h /scratch"
SPINS = "while [ ! -f /scratch/stop ]; do :; done; exec sleep 3600"
GREEDY = "head -c 200m /dev/zero | tail"


@pytest.fixture
def measured(request: pytest.FixtureRequest, api: client.ApiClient) -> Iterator[None]:
    """The HPA sees what metrics-server reads from the kubelet."""
    if os.environ.get(OWN_CLUSTER):
        if not has_metrics(api):
            pytest.skip(f"the cluster of {OWN_CLUSTER} has no metrics-server")
        yield
        return
    lab = request.getfixturevalue("lab")
    node.use_its_metrics(lab, api)
    yield
    metrics_api.use(api, lab.address, "simulated")


def has_metrics(api: client.ApiClient) -> bool:
    """Whether somebody measures the nodes."""
    try:
        found = client.CustomObjectsApi(api).list_cluster_custom_object(*METRICS, "nodes")
    except ApiException:
        return False
    return bool(found["items"])


def inside(api: client.ApiClient, space: str, pod: str, *words: str) -> str:
    """What a command prints that is executed in a pod."""
    with client.ApiClient(api.configuration) as own:
        call = client.CoreV1Api(own).connect_get_namespaced_pod_exec
        channels = {"stdout": True, "stderr": True, "_preload_content": False}
        running = stream(call, pod, space, command=list(words), **channels)
        try:
            running.run_forever(timeout=30)
            return str(running.read_all())
        finally:
            running.sock.shutdown()  # ``close`` leaves the socket open when the server ended first


def answers_hello(api: client.ApiClient, space: str, pod: str, words: tuple[str, ...]) -> bool:
    """Whether this command reaches the page."""
    return inside(api, space, pod, *words) == "hello\n"


def test_deployment_runs_and_its_logs_and_exec_work(api: client.ApiClient, space: str) -> None:
    workloads.deploy(api, space, 1, "50m", writes(PAGE))
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs")
    (pod,) = pods(api, space)
    core = client.CoreV1Api(api)
    assert core.read_namespaced_pod_log(pod.metadata.name, space) == "serving\n"
    assert inside(api, space, pod.metadata.name, "cat", "/scratch/index.html") == "hello\n"


def test_service_is_reached_by_name_and_by_address(api: client.ApiClient, space: str) -> None:
    workloads.deploy(api, space, 1, "50m", writes(PAGE))
    spec = {"selector": {"app": "work"}, "ports": [{"port": 80, "targetPort": 8080}]}
    body = {"metadata": {"name": "page"}, "spec": spec}
    service = client.CoreV1Api(api).create_namespaced_service(space, body)
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs")
    name = pods(api, space)[0].metadata.name
    for target in ("page", f"page.{space}.svc.cluster.local", service.spec.cluster_ip):
        ask = f"printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {target} 80 | tail -1"
        words = ("sh", "-c", ask)  # not wget: the static one crashes when it looks up a name
        wait_until(partial(answers_hello, api, space, name, words), 30, target)


@pytest.mark.usefixtures("measured")
def test_hpa_grows_and_shrinks_by_what_the_kubelet_measures(
    api: client.ApiClient, space: str
) -> None:
    workloads.deploy(api, space, 1, "50m", writes(SPINS))
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs")
    workloads.autoscale(api, space, most=2)
    wait_until(lambda: workloads.ready(api, space) == 2, 120, "the HPA wants two")
    for pod in pods(api, space):
        inside(api, space, pod.metadata.name, "touch", "/scratch/stop")
    wait_until(lambda: workloads.replicas(api, space) == 1, 120, "the HPA wants one")


def test_container_over_its_memory_is_killed_and_says_so(api: client.ApiClient, space: str) -> None:
    limits = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "32Mi"}}
    workloads.deploy(api, space, 1, "50m", runs(GREEDY, resources=limits))
    wait_until(
        lambda: [state(pod, "terminated") for pod in pods(api, space)] == ["OOMKilled"],
        60,
        "the kernel killed it",
    )


def test_image_that_cannot_be_pulled_is_said(api: client.ApiClient, space: str) -> None:
    workloads.deploy(api, space, 1, "50m", runs("true", image="registry.invalid/none:1"))
    wait_until(
        lambda: any("Pull" in state(pod, "waiting") for pod in pods(api, space)),
        60,
        "the kubelet says that the image is not to be had",
    )
