"""Where what a program wrote goes: a volume, a URL, and here also from a pod that is taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from kubernetes import client

from ebbtide.infra.models.job import RetryPolicy
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.problems import problems_of
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab.place import NODE, Lab

NEVER = RetryPolicy(reasons=())
ON_THE_VOLUME = "volume://kept/outputs"
IN_ARTIFACTS = "file:///run/ebb/artifacts/stored"
"""Which come here by themselves: the test needs no object store."""


@pytest.fixture
def volume(lab: Lab, stage: Stage, api: client.ApiClient, tmp_path: Path) -> Iterator[Path]:
    """The folder of a volume that the claim ``kept`` is bound to."""
    del lab
    folder = tmp_path / "volume"
    folder.mkdir()
    core, name = client.CoreV1Api(api), f"kept-{stage.api.namespace}"
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
    core.create_namespaced_persistent_volume_claim(stage.api.namespace, claim)
    yield folder
    core.delete_persistent_volume(name)


def test_evicted_program_has_its_files_on_the_volume(stage: Stage, volume: Path) -> None:
    spec = replace(
        stage.counts("kept-there", 25, retry=NEVER), outputs=f"{ON_THE_VOLUME}/kept-there"
    )
    flow = Flow(stage, spec)
    flow.says("begun")
    stage.evict(flow.driver)
    ended = flow.ended()
    assert (ended.reason, ended.files) == (Reason.EVICTED, {})
    assert (volume / "outputs" / "kept-there" / "kept.txt").read_text() == "kept"


def test_files_are_at_the_url_when_the_run_has_ended(stage: Stage) -> None:
    spec = replace(stage.counts("stored", 1), outputs=IN_ARTIFACTS)
    ended = Flow(stage, spec).ended()
    assert (ended.error, ended.files) == (None, {})
    there = stage.settings.run_folder(spec.name) / "artifacts" / "stored"
    assert (there / "kept.txt").read_text() == "kept"


def test_program_that_is_evicted_stores_its_files_before_its_pod_goes(stage: Stage) -> None:
    flow = Flow(stage, replace(stage.counts("quick", 25, retry=NEVER), outputs=IN_ARTIFACTS))
    flow.says("begun")
    stage.evict(flow.driver)
    assert flow.ended().reason is Reason.EVICTED
    there = stage.settings.run_folder(flow.spec.name) / "artifacts" / "stored"
    assert (there / "kept.txt").read_text() == "kept"


def test_what_could_not_be_stored_comes_here_and_the_run_fails(stage: Stage) -> None:
    program = """
        import os, pathlib
        folder = pathlib.Path(os.environ["EBB_OUTPUT_DIR"])
        (folder / "in-the-way").write_text("kept")
        pathlib.Path("/run/ebb/artifacts/stored/in-the-way").mkdir()
        """
    ended = Flow(stage, replace(stage.runs("lost", program), outputs=IN_ARTIFACTS)).ended()
    assert (ended.reason, ended.files) == (Reason.OUTPUTS_NOT_STORED, {"in-the-way": "kept"})
    assert ended.error is not None
    assert IN_ARTIFACTS in ended.error.detail


def test_claim_that_is_not_there_is_refused_before_anything_is_made(stage: Stage) -> None:
    spec = replace(stage.counts("nowhere", 1), outputs="volume://nobody/x")
    (problem,) = problems_of(stage.settings, spec)
    assert "nobody" in problem.summary
