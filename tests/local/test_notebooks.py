"""Notebooks: as the program of a run, and as the place where clusters are used, in real kernels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/notebooks"
TIMEOUT_S = 120
SLEEPS = "import threading; threading.Event().wait(60)"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBB_PREFECT_SERVER", "off")


@pytest.fixture
def kernel(ebb_home: Path, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """A kernel of this Python, as Jupyter starts one, and its client."""
    manager, client = start_new_kernel(cwd=str(tmp_path))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def outputs(cell: Any, kind: str) -> list[Any]:
    return [one for one in cell.outputs if one.output_type == kind]


def held(home: Path) -> list[Any]:
    return LocalPlatform(Settings(home=home)).held()


def ebb_run(*words: str) -> subprocess.CompletedProcess[str]:
    ebb = Path(sys.executable).with_name("ebb")
    return subprocess.run(
        [ebb, "run", *words], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def test_a_notebook_is_executed_with_its_parameters_and_kept(ebb_home: Path) -> None:
    file = EXAMPLES / "monte_carlo.ipynb"
    done = ebb_run(str(file), "-p", "darts=100000", "-p", "tasks=4")
    assert (done.returncode, done.stdout[:14]) == (0, "pi is about 3."), done.stderr
    (kept,) = ebb_home.glob("runs/*/output/monte_carlo.ipynb")
    cells = json.loads(kept.read_text())["cells"]
    assert ["injected-parameters"] in [cell["metadata"].get("tags") for cell in cells]
    assert not any("output" in cell for cell in json.loads(file.read_text())["cells"])


def test_a_cell_that_fails_is_told_and_what_ran_before_it_is_kept(
    ebb_home: Path, tmp_path: Path
) -> None:
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[
            nbformat.v4.new_code_cell("print('before')"),  # type: ignore[no-untyped-call]
            nbformat.v4.new_code_cell("1 / 0"),  # type: ignore[no-untyped-call]
        ]
    )
    file = tmp_path / "fails.ipynb"
    nbformat.write(notebook, file)  # type: ignore[no-untyped-call]
    done = ebb_run("--framework", "none", str(file))
    assert (done.returncode, done.stdout) == (1, "before\n")
    assert f"cell 2 of {file} failed:" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert list(ebb_home.glob("runs/*/output/fails.ipynb"))


def test_a_notebook_that_is_stopped_leaves_nothing(
    ebb_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, folder = tmp_path / "tmp", tmp_path / "work"
    place.mkdir()
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.chdir(folder)
    cells = [nbformat.v4.new_code_cell(f"print('begun', flush=True)\n{SLEEPS}")]  # type: ignore[no-untyped-call]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), "waits.ipynb")  # type: ignore[no-untyped-call]
    ebb = Path(sys.executable).with_name("ebb")
    subprocess.run(
        [ebb, "run", "--detach", "--framework", "none", "--name", "nb", "waits.ipynb"], check=True
    )
    log = ebb_home / "runs/nb/stdout.log"
    wait_until(lambda: log.exists() and "begun" in log.read_text(), 60, "its cell runs")
    assert [path.name for path in folder.iterdir()] == ["waits.ipynb"]
    subprocess.run([ebb, "stop", "nb"], check=True, timeout=TIMEOUT_S)
    assert list(place.iterdir()) == []


def test_the_first_cluster_of_a_notebook_is_shown_in_its_cell_and_gone(ebb_home: Path) -> None:
    notebook = nbformat.read(EXAMPLES / "first_cluster.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(notebook, timeout=TIMEOUT_S).execute()
    used, after = (cell for cell in notebook.cells if cell.cell_type == "code")
    (shown,) = outputs(used, "display_data")
    page = shown.data["text/html"]
    assert all(label in page for label in ("hardware tier", "workers", "release"))
    assert outputs(used, "execute_result")[0].data["text/plain"] == "328350"
    assert "released" in outputs(after, "execute_result")[0].data["text/html"]
    assert held(ebb_home) == []


def test_an_interrupted_cell_releases_its_run(
    kernel: tuple[Any, Any], ebb_home: Path, tmp_path: Path
) -> None:
    manager, client = kernel
    (tmp_path / "waits.py").write_text(SLEEPS)
    client.execute("from ebbtide import run; run('waits.py', framework='none')")
    wait_until(lambda: list(ebb_home.glob("runs/*/stdout.log")), 60, "the program runs")
    manager.interrupt_kernel()
    replies = iter(partial(client.get_shell_msg, timeout=30), None)
    reply = next(one["content"] for one in replies if one["msg_type"] == "execute_reply")
    assert (reply.get("ename"), held(ebb_home)) == ("KeyboardInterrupt", [])


def test_a_restarted_kernel_leaves_no_cluster(kernel: tuple[Any, Any], ebb_home: Path) -> None:
    manager, client = kernel
    code = "from ebbtide import cluster; held = cluster('none', lease='4s'); held.__enter__()"
    reply = client.execute_interactive(code, timeout=60, output_hook=lambda _: None)
    assert (reply["content"]["status"], len(held(ebb_home)) > 0) == ("ok", True)
    manager.restart_kernel(now=True)
    wait_until(lambda: held(ebb_home) == [], 60, "its lease has expired")
