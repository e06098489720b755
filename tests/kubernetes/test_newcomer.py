"""A user who has typed ``make lab`` and nothing else: a run works, and its node goes again."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client

from ebbtide.flows.prefect_server import server
from tests.helpers import wait_until
from tests.kubernetes.command_line import Somebody
from tests.kubernetes.lab import first_contact, metrics_api
from tests.kubernetes.lab.__main__ import say
from tests.kubernetes.lab.place import NODE, Lab
from tests.kubernetes.lab.pools import orders


def nodes(newcomer: Somebody) -> int:
    """How many there are in the lab's pool."""
    told = newcomer.types("nodes", "--platform", "kubernetes", "--json").stdout
    (found,) = [each for each in json.loads(told)["pools"] if each["name"] == first_contact.POOL]
    return len(found["nodes"])


def others(api: client.ApiClient) -> list[str]:
    """Pods on the lab's node that are not its own: a namespace's last ones may take their grace."""
    found = client.CoreV1Api(api).list_pod_for_all_namespaces(
        field_selector=f"spec.nodeName={NODE}"
    )
    names = [(pod.metadata.namespace, pod.metadata.name) for pod in found.items]
    return [name for space, name in names if space != "kube-system"]


@pytest.fixture(scope="module")
def newcomer(
    lab: Lab,
    api: client.ApiClient,
    home_of_module: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Somebody]:
    folder = tmp_path_factory.mktemp("newcomer")
    wait_until(lambda: not others(api), 150, "pods of other tests have left the node")
    first_contact.prepare_for(lab, folder / ".kube" / "config", say)
    yield Somebody(folder, home_of_module)
    server.stop(home_of_module)
    orders.delete_pool(api, first_contact.POOL)
    orders.set_timers(api, orders.QUICK)
    client.CoreV1Api(api).delete_namespace(first_contact.SPACE)
    metrics_api.use(api, lab.address, "simulated")


def goes_from_zero_to_one_and_back(
    newcomer: Somebody, *words: str
) -> subprocess.CompletedProcess[str]:
    """What the run has printed and told."""
    assert nodes(newcomer) == 0
    ran = newcomer.types("run", "--platform", "kubernetes", *words)
    assert "pool lab grows 0 → 1" in ran.stderr
    assert "Held now: nothing" in ran.stderr
    wait_until(lambda: nodes(newcomer) == 0, 90, "the pool is at zero again")
    return ran


def test_program_of_a_newcomer_brings_a_node_that_goes_again(newcomer: Somebody) -> None:
    (newcomer.folder / "train.py").write_text("print(3)")
    ran = goes_from_zero_to_one_and_back(newcomer, "--framework", "none", "train.py")
    assert ran.stdout == "3\n"


@pytest.mark.long
def test_hello_of_a_newcomer_grows_a_pool_and_a_cluster_and_both_shrink(newcomer: Somebody) -> None:
    (newcomer.folder / "first.py").write_text("")
    goes_from_zero_to_one_and_back(newcomer, "--framework", "none", "first.py")
    ran = goes_from_zero_to_one_and_back(newcomer, "hello")
    assert "pi ≈ 3.1" in ran.stdout
    assert re.search(r"pool lab grows 0 → 1; usually takes \d\S* here", ran.stderr), ran.stderr
