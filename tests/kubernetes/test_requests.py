"""How many requests a run asks of the API server, both its processes together: counted, not timed.

While a run goes on a beat is written each fifth of its lease, and its figures each 15 s. All else
is told by watches: nothing is asked again and again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import REQUESTS_FILE
from tests.kubernetes.conftest import Image

LASTS_S = 30
PROGRAM = f"import time; time.sleep({LASTS_S})\n"
MOST = {"none": 130, "dask": 180}
"""Of a run of half a minute; one that asked five times a second would need 300 more."""
NAME = "asks"
OWN_POOL = "EBB_TEST_POOL"
"""The pool of a cluster that is not the lab; else any node is of it."""
POOL = {
    "platform": "kubernetes",
    "nodes": "0..1",
    "node-cpu": 2,
    "node-memory": "8Gi",
}
TIER = {"cpu": "100m", "memory": "512Mi"}


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a run that has ended."""

    asked: list[str]
    """Its requests, a line each."""
    evidence: list[str]
    """Of ``ebb why``."""


def told_of_a_run(here: Api, image: Image, framework: str, folder: Path) -> Told:
    """Run it to its end."""
    own = os.environ.get(OWN_POOL)
    pool = {**POOL, "images": {framework: image(framework)}}
    pool |= {} if own else {"label": "kubernetes.io/os"}
    catalog = {"pools": {own or "linux": pool}, "tiers": {"small": TIER}}
    (folder / "ebb.yaml").write_text(yaml.safe_dump(catalog))
    (folder / "program.py").write_text(PROGRAM)
    environment = {
        **os.environ,
        "EBB_HOME": str(folder / "home"),
        "EBB_PREFECT_SERVER": "off",
        "EBB_NAMESPACE": here.namespace,
        "EBB_CONTEXT": here.access.context,
        "KUBECONFIG": here.access.kubeconfig,
        REQUESTS_FILE: str(folder / "requests"),
    }
    ebb = str(Path(sys.executable).with_name("ebb"))
    more = ["--workers", "1"] if framework != "none" else []
    words = ["--platform", "kubernetes", "--name", NAME, "--framework", framework, *more]
    argv = [ebb, "run", *words, "program.py"]
    subprocess.run(argv, cwd=folder, env=environment, check=True, timeout=300)
    asked = (folder / "requests").read_text().splitlines()
    argv = [ebb, "why", NAME, "--json"]
    why = subprocess.run(argv, cwd=folder, env=environment, check=True, capture_output=True)
    return Told(asked, json.loads(why.stdout)["evidence"])


@pytest.mark.parametrize("framework", sorted(MOST))
def test_a_run_is_followed_by_watches_asks_little_and_keeps_the_hpas_last_word(
    here: Api, image: Image, framework: str, tmp_path: Path
) -> None:
    told = told_of_a_run(here, image, framework, tmp_path)
    assert len(told.asked) <= MOST[framework], "\n".join(told.asked)
    said = [each for each in told.evidence if each.startswith("the autoscaler said last: 1 of ")]
    assert len(said) == (framework == "dask"), told.evidence
