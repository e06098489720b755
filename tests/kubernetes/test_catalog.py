"""A catalog that an administrator has written down in the namespace is found by who has no file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from kubernetes import client

from tests.kubernetes.lab.first_contact import CATALOG

TEXT = """
pools: {far: {nodes: 0..3, node-cpu: 2, node-memory: 8Gi, label: nobody.example/has-it}}
tiers: {pod: {cpu: 1, memory: 2Gi}}
"""


def asked(folder: Path, kubeconfig: str, *words: str) -> Any:
    home = {"HOME": str(folder), "EBB_HOME": str(folder / "home"), "KUBECONFIG": kubeconfig}
    done = subprocess.run(
        [Path(sys.executable).with_name("ebb"), *words, "--json"],
        cwd=folder,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return json.loads(done.stdout)


def test_its_tiers_are_listed_and_doctor_names_it(
    api: client.ApiClient, space: str, kubeconfig: str, tmp_path: Path
) -> None:
    written = {"metadata": {"name": CATALOG}, "data": {"ebb.yaml": TEXT}}
    client.CoreV1Api(api).create_namespaced_config_map(space, written)
    there = ("--platform", "kubernetes", "--namespace", space)
    tiers = asked(tmp_path, kubeconfig, "tiers", *there)
    assert tiers["source"].startswith(f"ConfigMap {CATALOG} of namespace {space}")
    assert tiers["tiers"][0]["name"] == "pod"
    checks = asked(tmp_path, kubeconfig, "doctor", *there)
    (catalog,) = [each for each in checks if each["check"] == "catalog"]
    assert (catalog["state"], f"ConfigMap {CATALOG}" in catalog["detail"]) == ("ok", True)
