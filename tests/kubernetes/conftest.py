"""A Kubernetes for the tests: the lab, or the one that EBB_TEST_KUBECONFIG names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from kubernetes import client, config

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from tests.helpers import wait_until
from tests.kubernetes.lab import debian, product_images, up
from tests.kubernetes.lab.__main__ import say
from tests.kubernetes.lab.place import Lab, cache, every
from tests.kubernetes.workloads import OWN_CLUSTER, OWN_IMAGES

Image = Callable[[str], str]
_PREFIX = "tests-"
"""A lab of tests has the process id of its run in its name: several checkouts, one machine."""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of this test run alone. What needs its switches cannot run on somebody's cluster."""
    if os.environ.get(OWN_CLUSTER):
        pytest.skip(f"needs a lab of its own, and {OWN_CLUSTER} names another cluster")
    if debian.obstacle():
        pytest.skip(debian.obstacle())
    _take_down_those_of_killed_runs()
    name = f"{_PREFIX}{os.getpid()}"
    yield up.up(name, up.LEVELS, say)
    assert up.down(name) == []
    for lock in (cache() / "labs").glob(f"{name}*.lock"):
        lock.unlink()


def _take_down_those_of_killed_runs() -> None:
    for old in every():
        run = old.name.removeprefix(_PREFIX).partition("-")[0]
        if old.name.startswith(_PREFIX) and not Path("/proc", run).exists():
            up.down(old.name)


@pytest.fixture(scope="session")
def api(request: pytest.FixtureRequest) -> Iterator[client.ApiClient]:
    """The administrator's client."""
    path = os.environ.get(OWN_CLUSTER) or str(request.getfixturevalue("lab").kubeconfig)
    with config.new_client_from_config(path) as found:
        yield found


@pytest.fixture
def space(api: client.ApiClient) -> Iterator[str]:
    """A fresh namespace for one test."""
    core, name = client.CoreV1Api(api), f"test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    accounts = partial(core.list_namespaced_service_account, name)
    wait_until(lambda: accounts().items, 30, "the namespace has the account that pods run as")
    yield name
    core.delete_namespace(name)


@pytest.fixture(scope="session")
def image(request: pytest.FixtureRequest) -> Image:
    """Gives the name of a framework's image, which the lab's node has."""
    if OWN_CLUSTER not in os.environ:
        return partial(product_images.provide, request.getfixturevalue("lab"), say=say)
    named = dict(each.split("=", 1) for each in os.environ.get(OWN_IMAGES, "").split())
    if not named:
        pytest.skip("the images are imported into the lab's own node")
    return named.__getitem__


@pytest.fixture
def guarded(api: client.ApiClient, space: str) -> str:
    """A namespace that refuses pods with privileges, whatever they ask for."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    client.CoreV1Api(api).patch_namespace(space, {"metadata": {"labels": labels}})
    return space


@pytest.fixture
def here(request: pytest.FixtureRequest, space: str) -> Iterator[Api]:
    """A namespace of the test's own."""
    file = os.environ.get(OWN_CLUSTER) or str(request.getfixturevalue("lab").kubeconfig)
    api = Api(Access(kubeconfig=file, namespace=space))
    yield api
    api.close()
