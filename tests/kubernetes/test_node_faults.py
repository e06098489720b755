"""Each switch for the real node, its images and its tokens does what it says, and takes it back."""

from __future__ import annotations

from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.lab import faults, images, node, parts
from tests.kubernetes.lab.place import Lab
from tests.kubernetes.workloads import pods, runs, state

SLEEPS = "exec sleep 3600"
LIMITED = {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}}


def test_lost_node_is_unreachable_and_runs_its_pods_again_when_it_is_back(
    lab: Lab, api: client.ApiClient, space: str
) -> None:
    workloads.deploy(api, space, 1, "50m", runs(SLEEPS))
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs")
    with faults.lost(lab, api):
        assert not parts.pid_of(lab, "kubelet")
        assert not node.ready(api)
        wait_until(lambda: node.unreachable(api), 30, "the controller sees it")
        wait_until(lambda: workloads.ready(api, space) == 0, 30, "its pod is not ready")
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs again")
    assert pods(api, space)[0].status.container_statuses[0].restart_count == 1


def test_unpullable_image_is_said_and_can_be_had_again(
    lab: Lab, api: client.ApiClient, space: str
) -> None:
    with faults.unpullable(lab, images.BUSYBOX):
        workloads.deploy(api, space, 1, "50m", runs(SLEEPS, imagePullPolicy="Never"))
        wait_until(
            lambda: [state(pod, "waiting") for pod in pods(api, space)] == ["ErrImageNeverPull"],
            60,
            "the kubelet says that there is no such image",
        )
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs")


def test_memory_is_exhausted_on_order_and_the_pod_starts_again(
    lab: Lab, api: client.ApiClient, space: str
) -> None:
    workloads.deploy(api, space, 1, "50m", runs(SLEEPS, resources=LIMITED))
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs")
    faults.exhaust_memory(lab, pods(api, space)[0])
    wait_until(
        lambda: [state(pod, "terminated") for pod in pods(api, space)] == ["OOMKilled"],
        60,
        "it is said",
    )
    wait_until(lambda: workloads.ready(api, space) == 1, 60, "it runs again")


def test_expired_token_is_refused_and_a_new_one_is_not(api: client.ApiClient, space: str) -> None:
    first = faults.token(api, space, "first")
    assert whoami(api, first) == f"system:serviceaccount:{space}:default"
    faults.expire(api, space, "first")
    wait_until(lambda: whoami(api, first) == "401", 30, "it is refused")
    assert whoami(api, faults.token(api, space, "second")) != "401"


def whoami(api: client.ApiClient, token: str) -> str:
    """Whom the API server takes somebody with this token for, or the status of its refusal."""
    settings = client.Configuration(host=api.configuration.host)
    settings.ssl_ca_cert = api.configuration.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {token}"}
    with client.ApiClient(settings) as other:
        try:
            found = client.AuthenticationV1Api(other).create_self_subject_review({})
        except ApiException as error:
            return str(error.status)
        return str(found.status.user_info.username)
