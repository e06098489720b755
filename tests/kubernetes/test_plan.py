"""``ebb run --plan -o yaml`` prints what an API server takes, under Pod Security ``restricted``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from ebbtide.infra.platforms.kubernetes.api import MANAGER, Api
from ebbtide.infra.platforms.kubernetes.client import Access, Request
from ebbtide.infra.platforms.kubernetes.kinds import kind_of

CATALOG = """
pools: {far: {platform: kubernetes, nodes: 0..3, node-cpu: 2, node-memory: 8Gi}}
tiers: {tiny: {cpu: 200m, memory: 500Mi}}
"""


@pytest.mark.parametrize("framework", ["dask", "none"])
def test_every_object_of_a_plan_is_taken(
    api: client.ApiClient, guarded: str, kubeconfig: str, framework: str, tmp_path: Path
) -> None:
    (tmp_path / "ebb.yaml").write_text(CATALOG)
    (tmp_path / "train.py").write_text("print(1)")
    ebb = Path(sys.executable).with_name("ebb")
    words = ["run", "--plan", "-o", "yaml", "--platform", "kubernetes", "--namespace", guarded]
    environ = {**os.environ, "KUBECONFIG": kubeconfig, "EBB_HOME": str(tmp_path / "home")}
    printed = subprocess.run(
        [ebb, *words, "--framework", framework, "train.py"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    server = Api(Access(namespace=guarded, kubeconfig=kubeconfig))
    for thing in yaml.safe_load_all(printed):
        path = kind_of(thing).path(guarded, thing["metadata"]["name"])
        made = server.ask(
            Request(
                method="PATCH",
                path=path,
                query={"fieldManager": MANAGER, "dryRun": "All"},
                body=thing,
                content_type="application/apply-patch+yaml",
            )
        )
        assert made["kind"] == thing["kind"]
    server.close()
