"""``ebb run --plan -o yaml | kubectl apply -f -``: what it prints is taken, and works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import MANAGER, Api
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.clusters.holdings import held
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object, kind_of
from ebbtide.infra.platforms.kubernetes.naming import ROLE, selector
from ebbtide.infra.platforms.kubernetes.reading.snapshot import is_ready
from ebbtide.infra.waiting import wall_s
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image

FAR = {"platform": "kubernetes", "nodes": "0..3", "node-cpu": 2, "node-memory": "8Gi"}
TIER = {"cpu": "100m", "memory": "512Mi"}


def planned(here: Api, folder: Path, pool: dict[str, Any], *words: str) -> list[Object]:
    """What the command line prints."""
    catalog = {"pools": {"linux": {**FAR, **pool}}, "tiers": {"tiny": TIER}}
    (folder / "ebb.yaml").write_text(yaml.safe_dump(catalog))
    (folder / "train.py").write_text("print(1)")
    ebb = Path(sys.executable).with_name("ebb")
    place = ["--platform", "kubernetes", "--namespace", here.namespace]
    kubeconfig, home = here.access.kubeconfig, str(folder / "home")
    printed = subprocess.run(
        [ebb, "run", "--plan", "-o", "yaml", *place, *words],
        cwd=folder,
        env={**os.environ, "KUBECONFIG": kubeconfig, "EBB_HOME": home},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    return list(yaml.safe_load_all(printed))


@pytest.mark.parametrize("framework", ["dask", "none"])
def test_every_object_of_a_plan_is_taken_in_a_guarded_namespace(
    here: Api, guarded: str, framework: str, tmp_path: Path
) -> None:
    words = ("--framework", framework, "--scale-up-step", "2", "train.py")
    for thing in planned(here, tmp_path, {}, *words):
        made = here.ask(
            Request(
                method="PATCH",
                path=kind_of(thing).path(guarded, thing["metadata"]["name"]),
                query={"fieldManager": MANAGER, "dryRun": "All"},
                body=thing,
                content_type="application/apply-patch+yaml",
            )
        )
        assert made["kind"] == thing["kind"]


def test_applied_plan_is_a_working_cluster_and_goes_when_its_objects_are_deleted(
    here: Api, image: Image, tmp_path: Path
) -> None:
    """As ``kubectl apply -f`` and ``kubectl delete -f`` do it; the program is in the image."""
    pool = {"label": "kubernetes.io/os", "images": {"dask": image("dask")}}
    things = planned(here, tmp_path, pool, "hello")
    cluster = ClusterId(things[0]["metadata"]["name"])
    for thing in things:
        here.apply(thing, manager="kubectl")

    def ready() -> set[str]:
        pods = here.list(POD, selector(cluster)).items
        return {pod["metadata"]["labels"][ROLE] for pod in pods if is_ready(pod)}

    everybody = {"driver", "head", "worker"}
    wait_until(lambda: ready() == everybody, 90, "a worker has joined, and the program runs")
    for thing in things:
        here.delete(kind_of(thing), thing["metadata"]["name"])
    wait_until(lambda: not held(here, cluster, wall_s()), 60, "nothing is left")
