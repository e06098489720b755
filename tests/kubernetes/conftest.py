"""A Kubernetes for the tests: the lab, or the one that EBB_TEST_KUBECONFIG names."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from functools import partial

import pytest
from kubernetes import client, config

from tests.helpers import wait_until
from tests.kubernetes.lab import debian, up
from tests.kubernetes.lab.__main__ import say
from tests.kubernetes.lab.place import Lab

OWN_CLUSTER = "EBB_TEST_KUBECONFIG"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A lab of this test run alone. What needs its switches cannot run on somebody's cluster."""
    if debian.obstacle():
        pytest.skip(debian.obstacle())
    name = "tests"
    yield up.up(name, up.LEVELS, say)
    assert up.down(name) == []


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
