"""Where a program's output goes: a volume, a URL, here from a pod that is taken; and its code."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path

from ebbtide.infra.models.job import RetryPolicy, RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.problems import problems_of
from tests.kubernetes.fault_stage import Flow, Stage

NEVER = RetryPolicy(reasons=())
ON_THE_VOLUME = "volume://kept/outputs"
IN_ARTIFACTS = "file:///run/ebb/artifacts/stored"
"""Which come here by themselves: the test needs no object store."""


def with_code(spec: RunSpec, code: str) -> RunSpec:
    """The same cluster for a program that is elsewhere."""
    assert spec.job is not None
    return replace(spec, job=replace(spec.job, argv=("python", "train.py"), code=code))


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


def test_archive_is_fetched_by_the_pod_itself(stage: Stage, volume: Path) -> None:
    """From the volume: the test needs no object store."""
    folder = volume / "outputs"
    folder.mkdir(mode=0o777)
    (stage.folder / "train.py").write_text("import os; print('fetched', os.getcwd())")
    with tarfile.open(folder / "code.tar.gz", "w:gz") as tar:
        tar.add(stage.folder / "train.py", "top/train.py")
    digest = hashlib.sha256((folder / "code.tar.gz").read_bytes()).hexdigest()
    code = f"file:///run/ebb/output/code.tar.gz#subdirectory=top&sha256={digest}"
    spec = with_code(stage.counts("fetches", 1), code)
    ended = Flow(stage, replace(spec, outputs=ON_THE_VOLUME)).ended()
    assert (ended.error, ended.stdout) == (None, "fetched /run/ebb/code\n")


def test_git_revision_runs_without_git_in_its_pod(stage: Stage, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "train.py").write_text("import shutil; print(shutil.which('git'))")
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run([*git, *words], check=True)
    ended = Flow(stage, with_code(stage.counts("tagged", 1), f"git+file://{repository}@v1")).ended()
    assert (ended.error, ended.stdout) == (None, "None\n")
    assert any("its code is commit" in event.message for event in ended.events)


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
