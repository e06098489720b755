"""``cluster(...)`` on Kubernetes: a Python session outside of it, and a flow in a pod of it."""

from __future__ import annotations

import importlib
import runpy
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ebbtide import cluster
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.frameworks.versions import Versions
from ebbtide.infra.platforms.kubernetes.administration import catalog
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP
from ebbtide.infra.platforms.kubernetes.manifests import shipment
from ebbtide.infra.platforms.kubernetes.sessions import versions
from tests.documentation import blocks
from tests.helpers import wait_until
from tests.kubernetes.conftest import Image
from tests.kubernetes.lab import faults, first_contact
from tests.kubernetes.lab.place import Lab
from tests.kubernetes.team import POOL, Team

PROGRAM = """
import os
from distributed import Client
from mine import times

with open(os.environ["EBB_OUTPUT_DIR"] + "/times", "w") as out:
    out.write(str(Client().submit(times, 21).result()))
"""
WORKS = {
    "ray": "import ray; ray.init(); print(ray.get(ray.remote(lambda: 3).remote()))",
    "spark": "from pyspark.sql import SparkSession\n"
    "print(SparkSession.builder.getOrCreate().sparkContext.parallelize([1, 2], 1).sum())",
}
Said = pytest.CaptureFixture[str]
Switch = Callable[[Lab], AbstractContextManager[None]]
OUTAGE_S = 8.0
pytestmark = pytest.mark.filterwarnings("ignore:Mismatched versions found")
"""Dask's own, of this machine's Python and the image's."""


@pytest.fixture
def at_home(team: Team, monkeypatch: pytest.MonkeyPatch) -> Team:
    """This process is one of somebody who uses the namespace from outside."""
    for name, value in team.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("EBB_PLATFORM", "kubernetes")
    monkeypatch.chdir(team.folder)
    monkeypatch.syspath_prepend(str(team.folder))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    times(team, 3)
    return team


def times(team: Team, factor: int) -> None:
    """Write the module beside the session and its programs."""
    (team.folder / "mine.py").write_text(f"def times(x):\n    return {factor} * x\n")


def knows(team: Team, image: Image, framework: str) -> None:
    """Put a framework's image into the namespace's catalog."""
    images = {name: image(name) for name in ("none", "flow", framework)}
    text = first_contact.catalog_text(POOL, images)
    team.api.merge(CONFIG_MAP, catalog.NAME, {"data": {"ebb.yaml": text}})


def slowly() -> Callable[[int], int]:
    """A task of one second; made here, it is sent as it is and not as a name of this module."""
    return lambda number: number if __import__("select").select([], [], [], 1) else -1


def program(folder: Path, text: str) -> Path:
    path = folder / "program.py"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("away", "breaks"),
    [
        (faults.killed, 1),
        # Its connections stay, and go on when it does.
        pytest.param(faults.stopped, 0, marks=pytest.mark.long),
        pytest.param(faults.refused, 1, marks=pytest.mark.long),
    ],
)
def test_a_session_uses_its_cluster_through_an_api_server_that_goes_away(
    lab: Lab,
    at_home: Team,
    image: Image,
    away: Switch,
    breaks: int,
    capfd: Said,
) -> None:
    knows(at_home, image, "dask")

    with cluster("dask", workers=1, name="held", lease="60s") as held:
        with pytest.MonkeyPatch.context() as other:
            other.setattr(versions, "own_versions", lambda _: Versions("3.9.2", "1.0"))
            with pytest.raises(ConfigurationError, match=r"3\.9\.2 .* image has Python"):
                held.client  # noqa: B018
        client = held.client
        assert client.submit(importlib.import_module("mine").times, 4).result(timeout=60) == 12
        kept = client.submit(lambda: bytes(5_000_000))
        assert len(kept.result(timeout=60)) == 5_000_000
        under_way = client.map(slowly(), range(int(OUTAGE_S) + 4))
        with away(lab):
            threading.Event().wait(OUTAGE_S)
        assert sum(client.gather(under_way)) == sum(range(int(OUTAGE_S) + 4))
        assert len(kept.result(timeout=60)) == 5_000_000
        assert (client.status, kept.status) == ("running", "finished")
        times(at_home, 2)
        made = held.run(program(at_home.folder, PROGRAM), name="times")
        assert (made.output_dir / "times").read_text() == "42"
        with pytest.MonkeyPatch.context() as other:
            other.setattr(shipment, "VERSION", "7.0.0")
            with pytest.raises(ConfigurationError, match=r"has Ebb .* is Ebb 7\.0\.0"):
                held.run(program(at_home.folder, PROGRAM), name="other")
        assert "held-1-head" in at_home.left("held")
    assert at_home.left("held") == []
    said = capfd.readouterr().err
    assert said.count("the client of held goes through the API server, which is slow") == 1
    assert said.count("the client of held lost its connection and has it again") == breaks
    assert not list(at_home.folder.glob("home/runs/held/keys-*"))


@pytest.mark.long
def test_the_documented_session_works(at_home: Team, image: Image, capfd: Said) -> None:
    knows(at_home, image, "dask")
    (block,) = (one for one in blocks("python") if one.page == "docs/kubernetes.md")
    (at_home.folder / "train.py").write_text("import distributed; distributed.Client()\n")
    runpy.run_path(str(program(at_home.folder, block.text)), {"cluster": cluster})
    assert capfd.readouterr().out.splitlines()[-1] == "3"


@pytest.mark.long
@pytest.mark.parametrize("framework", sorted(WORKS))
def test_a_framework_without_a_distant_client_says_so_and_runs_programs(
    at_home: Team, image: Image, framework: str
) -> None:
    knows(at_home, image, framework)
    tier = {"tier": "large"} if framework == "ray" else {}
    with cluster(framework, workers=1, name="held", **tier) as held:  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=f"{framework} has no client outside of its"):
            held.client  # noqa: B018
        made = held.run(program(at_home.folder, WORKS[framework]))
        log = at_home.folder / "home/runs/held/programs/program/stdout.log"
        wait_until(lambda: log.read_text().split()[-1:] == ["3"], 10, "its output is here")
        assert made.succeeded
    assert at_home.left("held") == []
