"""A Kubernetes for the tests: the lab, or the one that EBB_TEST_KUBECONFIG names."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import NotFoundException

from ebbtide.infra.frameworks.base import WITHOUT_CLUSTER
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP
from ebbtide.infra.settings import Settings
from tests.clusters import POOL
from tests.contract.rig import RUN_ON, Rig
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import Stage
from tests.kubernetes.lab import debian, first_contact, product_images, up
from tests.kubernetes.lab.__main__ import say
from tests.kubernetes.lab.place import NODE, Lab, cache, every
from tests.kubernetes.lab.relay import Relay, relayed
from tests.kubernetes.prefect_pool import Prefect
from tests.kubernetes.team import POOL as TEAMS_POOL
from tests.kubernetes.team import Team
from tests.kubernetes.workloads import OWN_CLUSTER, OWN_IMAGES

Image = Callable[[str], str]
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
"""Labels of a namespace that refuses pods with privileges, whatever they ask for."""
_PREFIX = "tests-"
"""A lab of tests has the process id of its run in its name: several checkouts, one machine."""

FIRST = "dask"
"""Whose contract runs whole each time."""
OFTEN = {
    "test_workers_count_when_they_have_registered_with_the_head",
    "test_program_on_a_held_cluster_has_its_own_modules_and_leaves_its_output",
    "test_pod_of_another_run_finds_the_head_and_is_refused",
}
"""Of the other frameworks' contracts: one cluster of each. The rest takes minutes."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what is not asked often to `make test-all`."""
    for item in items:
        called = getattr(item, "callspec", None)
        framework = called.params.get("each_framework", FIRST) if called is not None else FIRST
        here = item.path.is_relative_to(Path(__file__).parent)
        if here and framework != FIRST and item.name.partition("[")[0] not in OFTEN:
            item.add_marker(pytest.mark.long)


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
def api(kubeconfig: str) -> Iterator[client.ApiClient]:
    """The administrator's client."""
    with config.new_client_from_config(kubeconfig) as found:
        yield found


@pytest.fixture
def space(api: client.ApiClient) -> Iterator[str]:
    """A fresh namespace for one test, which refuses privileges as all of them do."""
    with namespace(api) as name:
        yield name


@contextlib.contextmanager
def namespace(api: client.ApiClient) -> Iterator[str]:
    core, name = client.CoreV1Api(api), f"test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
    accounts = partial(core.list_namespaced_service_account, name)
    wait_until(lambda: accounts().items, 30, "the namespace has the account that pods run as")
    yield name
    with contextlib.suppress(NotFoundException):  # a test may have done so
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
    """The namespace, for tests that are about what it refuses."""
    found = client.CoreV1Api(api).read_namespace(space).metadata.labels
    assert RESTRICTED.items() <= found.items()
    return space


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> str:
    """The path of the administrator's."""
    return os.environ.get(OWN_CLUSTER) or str(request.getfixturevalue("lab").kubeconfig)


@pytest.fixture
def place(kubeconfig: str, space: str, ebb_home: Path) -> Iterator[Settings]:
    """An installation that uses a namespace of the test's own."""
    with _installation(ebb_home, space, kubeconfig) as found:
        yield found


@contextlib.contextmanager
def _installation(home: Path, namespace: str, kubeconfig: str) -> Iterator[Settings]:
    found = Settings(home=home, prefect_server=False, namespace=namespace, kubeconfig=kubeconfig)
    yield found
    connected(found).close()


@pytest.fixture(scope="module", params=RUN_ON["kubernetes"])
def each_framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rig(place: Settings, real_pool: NodePool, image: Image) -> Rig:
    return Rig(place, "kubernetes", real_pool, image)


@pytest.fixture(scope="module")
def rig_of_module(
    api: client.ApiClient, kubeconfig: str, home_of_module: Path, real_pool: NodePool, image: Image
) -> Iterator[Rig]:
    with namespace(api) as name, _installation(home_of_module, name, kubeconfig) as place:
        yield Rig(place, "kubernetes", real_pool, image)


@pytest.fixture(scope="session")
def real_pool(request: pytest.FixtureRequest) -> NodePool:
    """Nodes on which containers run: the lab's real one. Images of others: ``Rig.image``."""
    image: Image = request.getfixturevalue("image")
    if os.environ.get(OWN_CLUSTER):
        pool = replace(POOL, label="kubernetes.io/os", label_value="linux")
    else:
        pool = replace(POOL, label="kubernetes.io/hostname", label_value=NODE)
    images = {name: image(name) for name in (WITHOUT_CLUSTER, FIRST)}
    return replace(pool, platform="kubernetes", images=images)


@pytest.fixture
def here(kubeconfig: str, space: str) -> Iterator[Api]:
    """A namespace of the test's own."""
    api = Api(Access(kubeconfig=kubeconfig, namespace=space))
    yield api
    api.close()


@pytest.fixture
def stage(place: Settings, real_pool: NodePool, here: Api, tmp_path: Path) -> Stage:
    """Where runs are driven that something happens to."""
    return Stage(place, real_pool, tmp_path, here)


@pytest.fixture
def volume(lab: Lab, space: str, api: client.ApiClient, tmp_path: Path) -> Iterator[Path]:
    """The folder of a volume that the claim ``kept`` is bound to."""
    del lab
    folder = tmp_path / "volume"
    folder.mkdir()
    core, name = client.CoreV1Api(api), f"kept-{space}"
    node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    size, modes = {"storage": "1Gi"}, ["ReadWriteOnce"]
    core.create_persistent_volume(
        {
            "metadata": {"name": name},
            "spec": {
                "capacity": size,
                "accessModes": modes,
                "storageClassName": "",
                "local": {"path": str(folder)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [node]}]}},
            },
        }
    )
    claim = {
        "metadata": {"name": "kept"},
        "spec": {
            "accessModes": modes,
            "resources": {"requests": size},
            "storageClassName": "",
            "volumeName": name,
        },
    }
    core.create_namespaced_persistent_volume_claim(space, claim)
    yield folder
    core.delete_persistent_volume(name)


@pytest.fixture(scope="module")
def teams_pool(api: client.ApiClient) -> Iterator[None]:
    """The real node as the only one of a pool."""
    core = client.CoreV1Api(api)
    for label in (TEAMS_POOL.name, None):
        core.patch_node(NODE, {"metadata": {"labels": {TEAMS_POOL.label: label}}})
        if label:
            yield


@pytest.fixture
def team(here: Api, guarded: str, teams_pool: None, image: Image, tmp_path: Path) -> Iterator[Team]:
    """A namespace that refuses privileges, with a catalog."""
    text = first_contact.catalog_text(TEAMS_POOL, {name: image(name) for name in ("none", "flow")})
    head = {"apiVersion": CONFIG_MAP.api, "kind": CONFIG_MAP.name}
    here.create({**head, "metadata": {"name": catalog.NAME}, "data": {"ebb.yaml": text}})
    team = Team(here.access.kubeconfig, guarded, tmp_path)
    yield team
    team.end()
    team.api.close()


@pytest.fixture(scope="session")
def prefect(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """The machine's address is the one by which the lab's pods reach it."""
    folder = tmp_path_factory.mktemp("prefect")
    server = Prefect(lab.outer_address, folder, str(lab.kubeconfig))
    with server.serving():
        server.create_pool()
        yield server


@pytest.fixture(scope="session")
def worker(prefect: Prefect) -> Iterator[Prefect]:
    """The same server, with a Prefect worker of its pool: before a test gives that a template."""
    with prefect.worker():
        yield prefect


@pytest.fixture
def relay(lab: Lab) -> Iterator[Relay]:
    """Another way to the API server, which answers for it when it is told to."""
    with relayed(lab) as found:
        yield found
