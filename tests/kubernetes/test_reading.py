"""What a real API server and a real node say of a cluster is read as it happened."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access, Request
from ebbtide.infra.platforms.kubernetes.kinds import LEASE, POD, RESOURCE_QUOTA, Kind, Object
from ebbtide.infra.platforms.kubernetes.naming import ROLE, selector
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.views import view_of
from ebbtide.infra.platforms.kubernetes.reading.watching import Watched, watched
from tests.helpers import wait_until, watching_threads
from tests.kubernetes import workloads
from tests.kubernetes.workloads import OWN_CLUSTER
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import CLUSTER

DASK, PLAIN = objects.spec(), objects.spec("none")


def thing(kind: Kind, name: str, role: str, **body: object) -> Object:
    metadata = {"name": name, "labels": {**selector(CLUSTER), ROLE: role}}
    return {"apiVersion": kind.api, "kind": kind.name, "metadata": metadata, **body}


def pod(role: str, script: str, **more: object) -> Object:
    container = {
        "name": role,
        "image": workloads.image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "24Mi"}},
        **more,
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return thing(POD, f"{CLUSTER}-{role}", role, spec=workloads.harmless(spec))


@pytest.fixture
def others() -> set[threading.Thread]:
    """The threads of watches that other tests began."""
    return watching_threads()


@pytest.fixture
def watch(here: Api, others: set[threading.Thread]) -> Iterator[Watched]:
    here.create(thing(LEASE, CLUSTER, "cluster", spec={"leaseDurationSeconds": 30}))
    with watched(here, CLUSTER) as found:
        assert found.current(30) is not None
        yield found


def until(watch: Watched, done: Callable[[ClusterView], object], plain: bool = True) -> ClusterView:
    """The view once it is so; each is made of the one before, as a tender does."""
    last: ClusterView | None = None

    def look() -> ClusterView | None:
        nonlocal last
        seen = watch.current()
        assert seen is not None
        last = view_of(seen, PLAIN if plain else DASK, last)
        return last if done(last) else None

    found = wait_until(look, 60, "the view is so")
    assert found is not None
    return found


def current(watch: Watched) -> Snapshot:
    found = watch.current()
    assert found is not None
    return found


def test_killed_program_and_killed_child_are_told_apart(here: Api, watch: Watched) -> None:
    here.create(pod("head", "exec tail /dev/zero"))
    head = until(watch, lambda view: view.failure, plain=False).failure
    assert head is not None
    assert head.detail == "the head was killed: out of memory (it has 24 MiB)"
    here.delete(POD, f"{CLUSTER}-head")
    wait_until(lambda: current(watch).head is None, 30, "it has gone")
    here.create(pod("driver", "tail /dev/zero; exit 5"))
    job = until(watch, lambda view: view.job.ended_at).job
    assert (job.exit_code, job.reason) == (5, Reason.OUT_OF_MEMORY)
    assert job.detail.startswith("a process of the program was killed (24 MiB allowed)")


def test_evicted_program_is_no_failure_of_its_own(here: Api, watch: Watched) -> None:
    here.create(pod("driver", "sleep 100"))
    until(watch, lambda view: view.job.started_at)
    name = f"{CLUSTER}-driver"
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = POD.path(here.namespace, name, "eviction")
    here.ask(Request(method="POST", path=path, body=body))
    job = until(watch, lambda view: view.job.ended_at).job
    assert job.reason is Reason.EVICTED


def test_command_that_is_missing_is_the_images_fault(here: Api, watch: Watched) -> None:
    here.create(pod("driver", "", command=["/nope"]))
    job = until(watch, lambda view: view.job.ended_at).job
    assert (job.started_at, job.exit_code, job.reason) == (None, None, Reason.IMAGE_UNUSABLE)
    assert "/nope: no such file" in job.detail


def test_image_that_is_not_there_fails_at_once(here: Api, watch: Watched) -> None:
    here.create(pod("driver", "", image="nothing:1", imagePullPolicy="Never"))
    failure = until(watch, lambda view: view.failure).failure
    assert failure is not None
    assert failure.reason is Reason.IMAGE_UNUSABLE


def test_quota_too_small_for_one_worker_fails_at_once(here: Api, watch: Watched) -> None:
    quota = {"hard": {"requests.cpu": "5m"}}
    here.create(thing(RESOURCE_QUOTA, "team", "cluster", spec=quota))
    wait_until(lambda: "hard" in (here.get(RESOURCE_QUOTA, "team") or {})["status"], 30, "it holds")
    worker: Object = {"metadata": {"labels": {**selector(CLUSTER), ROLE: "worker"}}}
    worker["spec"] = {**pod("worker", "sleep 9")["spec"], "restartPolicy": "Always"}
    selected = {"matchLabels": {**selector(CLUSTER, "worker")}}
    body = {"replicas": 1, "selector": selected, "template": worker}
    workers = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": body}
    labels = {**selector(CLUSTER), ROLE: "worker"}
    here.create({**workers, "metadata": {"name": f"{CLUSTER}-worker", "labels": labels}})
    failure = until(watch, lambda view: view.failure, plain=False).failure
    assert failure is not None
    assert failure.reason is Reason.QUOTA
    assert failure.detail == "one pod asks quota team for 10m of requests.cpu, and it allows 5m"


def test_watches_cost_few_requests_and_end_at_once(
    here: Api, others: set[threading.Thread], watch: Watched
) -> None:
    here.create(pod("driver", "sleep 100"))
    until(watch, lambda view: view.job.started_at)
    here.delete(POD, f"{CLUSTER}-driver", grace_s=1)
    wait_until(lambda: current(watch).driver is None, 60, "the pod has gone")
    made, kinds = 3, 5
    assert here.asked <= made + 3 * kinds, "a list and a watch each, and some of them once more"
    watch.close()
    assert watching_threads() <= others


class Proxy:
    """Passes connections on to the API server, and cuts them when it is told to."""

    def __init__(self, host: str, port: int):
        self._to = host, port
        self._open: list[socket.socket] = []
        self._away = False
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._away = True
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        self._away = False

    def close(self) -> None:
        self.cut()
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                mine, _ = self._door.accept()
                if self._away:
                    mine.close()
                    continue
                theirs = socket.create_connection(self._to)
                self._open += [mine, theirs]
                for ends in ((mine, theirs), (theirs, mine)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(2**16):
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        one.close()


@pytest.fixture
def proxy(here: Api) -> Iterator[Proxy]:
    url = urlsplit(here.server)
    made = Proxy(url.hostname or "", url.port or 443)
    yield made
    made.close()


def test_outage_is_told_and_overcome(
    here: Api, proxy: Proxy, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = os.environ.get(OWN_CLUSTER) or str(request.getfixturevalue("lab").kubeconfig)
    settings = yaml.safe_load(Path(file).read_text())
    for each in settings["clusters"]:
        each["cluster"]["tls-server-name"] = urlsplit(here.server).hostname
        each["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    copy = tmp_path / "kubeconfig"
    copy.write_text(yaml.safe_dump(settings))
    here.create(thing(LEASE, CLUSTER, "cluster", spec={"leaseDurationSeconds": 30}))
    with (
        contextlib.closing(Api(Access(kubeconfig=str(copy), namespace=here.namespace))) as api,
        watched(api, CLUSTER) as watch,
    ):
        assert watch.current(30) is not None
        proxy.cut()
        wait_until(lambda: watch.silent_s > 1, 30, "the server is away")
        here.create(pod("driver", "sleep 100"))
        assert current(watch).lease is not None
        proxy.restore()
        wait_until(lambda: current(watch).driver, 30, "what happened meanwhile is known")
        wait_until(lambda: watch.silent_s == 0, 30, "all is well")
