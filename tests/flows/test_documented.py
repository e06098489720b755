"""Every command and program that README and documentation show works as it is shown."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path

import pytest

from ebbtide.flows.cli.main import main
from ebbtide.flows.prefect_server.server import ServerInfo
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.request.catalog import Machine, load_catalog
from ebbtide.infra.settings import Settings
from tests.clusters import carried_out, cluster_spec, run_spec, script
from tests.documentation import ROOT, Block, blocks, commands
from tests.flows.flow_runs import flow_run

RUN = "copper-heron"
TRAIN = """
import sys
import distributed

distributed.Client()
print("trained", *sys.argv[1:])
"""
PREPARE = """
import json, os, pathlib

pathlib.Path(os.environ["EBB_OUTPUT_DIR"], "parts.json").write_text(json.dumps(["a", "b"]))
"""
TRIED_ELSEWHERE = {
    "make hello": "tests/local/test_readme.py",
    "make test": ".ci/run",
    "ebb run hello": "tests/local/test_readme.py",
    "ebb run --platform kubernetes": "tests/kubernetes/test_first_contact.py",
    "ebb logs -f": "tests/flows/test_detached.py",
    "ebb open": "tests/security/test_open_kept.py",
    "ebb up": "tests/stack",
    "ebb down": "tests/stack",
    "ebb status": "tests/stack",
    "ebb restore": "tests/stack/test_backup.py",
    "ebb emit": "tests/flows/test_events.py",
    "export PREFECT_HOME": "tests/stack",
    "prefect --no-prompt deploy": "tests/flows/test_deployments.py",
    "ebb init --platform kubernetes": "tests/unit/platforms/kubernetes/test_seen_pools.py",
    "ebb nodes --platform kubernetes": "tests/kubernetes/test_reading.py",
    "ebb doctor --platform kubernetes": "tests/kubernetes/test_work_pool.py",
    "prefect work-pool create": "tests/kubernetes/test_work_pool.py",
    "helm install": "tests/kubernetes/test_work_pool.py",
    "buildah bud": "tests/kubernetes/lab/product_images.py",
}
"""By how a command begins: what tries it, as it needs a server, a Kubernetes or images."""


def here(command: str) -> bool:
    """Whether a command is tried by this module."""
    return not any(command.startswith(begin) for begin in TRIED_ELSEWHERE)


@pytest.fixture(scope="module")
def history(home_of_module: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the documentation speaks of, which has ended."""
    program = script(tmp_path_factory.mktemp("good"), "print('fine')")
    carried_out(home_of_module, run_spec(RUN, cluster_spec("none"), program, tags=("demo",)))
    (home_of_module / "runs" / RUN / "worker-0.log").write_text("a worker's words\n")
    return home_of_module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user who has the programs that the documentation speaks of."""
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "report.py").write_text("print('report')\n")
    (tmp_path / "prepare.py").write_text(PREPARE)
    for name in ("examples", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_TOKEN", "a secret of this shell")
    monkeypatch.setenv("EBB_PREFECT_SERVER", "off")
    return tmp_path


@pytest.mark.parametrize("command", [one for one in commands() if here(one)])
def test_a_documented_command_is_understood(
    command: str, history: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EBB_HOME", str(history))
    ebb, *words = shlex.split(command.replace("/srv/backup", str(folder)))
    assert ebb == "ebb"
    if words[0] == "run":  # what it would make; that it is made, the other tests say
        words = ["run", "--plan", *words[1:]]
    assert main(words) == ExitCode.OK


def test_what_tries_the_other_commands_is_there() -> None:
    elsewhere = [one for one in commands() if not here(one)]
    assert [path for path in TRIED_ELSEWHERE.values() if not (ROOT / path).exists()] == []
    idle = [begin for begin in TRIED_ELSEWHERE if not any(c.startswith(begin) for c in elsewhere)]
    assert idle == [], "no page shows these any more"


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.page)
def test_a_documented_ebb_yaml_is_valid(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "ebb.yaml"
    file.write_text(block.text)
    catalog, _ = load_catalog(file, Machine(Resources(8000, 2**36)))
    assert catalog.tiers


def test_the_readmes_python_works(
    folder: Path, ebb_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = runpy.run_path(str(script(folder, python_of("README.md"))))
    assert found["result"].succeeded
    assert LocalPlatform(Settings(home=ebb_home)).held() == []
    assert capsys.readouterr().out.splitlines()[-1].startswith("3 http://127.0.0.1:")


def test_the_documented_cell_works(
    folder: Path, ebb_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(script(folder, python_of("docs/notebooks.md"))))
    assert capsys.readouterr().out == "328350\n"
    assert LocalPlatform(Settings(home=ebb_home)).held() == []


def test_the_python_of_the_first_job_is_that_of_the_readme() -> None:
    assert python_of("docs/first-job.md") == python_of("README.md")


def test_the_documented_flow_works(prefect_api: ServerInfo, ebb_home: Path, folder: Path) -> None:
    text = python_of("docs/pipelines.md").replace("/srv/", f"{folder}/")
    mine = flow_run(prefect_api.api, ebb_home, folder, text.replace("def mine(", "def main("))
    assert mine.run() == "Completed", mine.log()
    names = sorted(path.name for path in ebb_home.glob("runs/*/programs/*"))
    assert names == ["train-a", "train-b"]


def python_of(page: str) -> str:
    """The one block of Python of a page."""
    (block,) = (block for block in blocks("python") if block.page == page)
    return block.text
