"""The wheel, installed alone, beside a project that has packages named like our folders."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stack.prefect import Stack

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300
PROJECT = {
    "flows/__init__.py": "WORD = 'the flows of the project'\n",
    "infra/__init__.py": "WORD = 'the infra of the project'\n",
    "tasks/__init__.py": "def square(number): return number * number\n",
    "prepare.py": "import infra; print(infra.WORD)\n",
    "script.py": """
        import flows
        from ebbtide import cluster, run
        from tasks import square

        with cluster("dask", workers=1) as held:
            print(held.client.submit(square, 3).result(), held.run("prepare.py").exit_code)
        print(flows.WORD, run("prepare.py", framework="none").exit_code)
    """,
    "flows/mine.py": """
        from pathlib import Path
        from prefect import flow
        from ebbtide import cluster, job, parallel
        from tasks import square

        PREPARE = Path("prepare.py").absolute()

        @flow
        def mine(output: str):
            job(PREPARE, framework="none")
            with cluster("dask", workers=1) as held, parallel() as group:
                group.submit(held.run, PREPARE)
                Path(output).write_text(str(held.client.submit(square, 4).result()))
    """,
    "prefect.yaml": """
        pull:
          - prefect.deployments.steps.set_working_directory: {directory: "{{ $PROJECT }}"}
        deployments:
          - {name: mine, entrypoint: "flows/mine.py:mine", work_pool: {name: local}}
    """,
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    without = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build")
    source = Path(shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=without))
    how = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    pip("wheel", *how, str(source))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a fresh environment with the wheel and what it depends on."""
    venv = tmp_path_factory.mktemp("fresh") / "venv"
    words = [sys.executable, "-m", "venv", "--without-pip", str(venv)]
    subprocess.run(words, check=True, timeout=TIMEOUT_S)
    (there,) = venv.glob("lib/python3*/site-packages")
    for path in Path(site.getsitepackages()[0]).iterdir():
        if "ebbtide" not in path.name and path.name != "__pycache__":
            (there / path.name).symlink_to(path)
    pip("--python", str(venv), "install", "--quiet", "--no-deps", str(wheel))
    return venv / "bin"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        lines = text.splitlines()
        path.write_text("\n".join(line.removeprefix(" " * 8) for line in lines) + "\n")
    return tmp_path


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    subprocess.run(command, check=True, timeout=TIMEOUT_S)


def environment(home: Path, **more: str) -> dict[str, str]:
    foreign = ("PREFECT", "PYTHONPATH")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    return {**kept, "EBB_HOME": str(home), **more}


def said(words: list[str | Path], cwd: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        words,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def test_wheel_installs_one_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ebbtide"}
    assert "ebbtide/py.typed" in names
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]


def test_script_uses_its_own_packages_beside_ours(
    installed: Path, project: Path, ebb_home: Path
) -> None:
    off = environment(ebb_home, EBB_PREFECT_SERVER="off")
    printed = said([installed / "python", "script.py"], project, off)
    assert "9 0\n" in printed
    assert "the flows of the project 0\n" in printed


@pytest.fixture
def stack(installed: Path, project: Path, ebb_home: Path) -> Iterator[Stack]:
    """``ebb up`` of the wheel, with the project's flow deployed as its owner would."""
    there = environment(ebb_home, PREFECT_HOME=str(ebb_home / "prefect"), PROJECT=str(project))
    said([installed / "ebb", "up", "--json"], project, there)
    try:
        deploy = ["-m", "prefect", "--no-prompt", "deploy", "--all"]
        said([installed / "python", *deploy], project, there)
        yield Stack(ebb_home, project, there)
    finally:
        said([installed / "ebb", "down"], project, there)


def test_flow_served_by_a_worker_uses_its_own_packages_beside_ours(
    stack: Stack, tmp_path: Path
) -> None:
    output = tmp_path / "output"
    id_ = stack.start("mine/mine", output=str(output))
    assert stack.ended(id_, 180)["state"]["name"] == "Completed", stack.logs(id_)
    assert output.read_text() == "16"
    printed = [log.read_text() for log in (stack.home / "runs").glob("**/stdout.log")]
    assert printed == ["the infra of the project\n"] * 2
