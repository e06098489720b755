"""What a program wrote is brought to a URL after its end, by its wrapper, and that is told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.shipping.collecting import fetch_folder
from tests.unit.platforms.kubernetes.here import Pod

WRITES = """
import os, pathlib, sys
folder = pathlib.Path("../output", "deep")
folder.mkdir()
(folder / "a.txt").write_text("one")
pathlib.Path("../output", "b.txt").write_text("four")
sys.exit(int(sys.argv[1]))
"""
NEVER_ENDS = """
import pathlib, time
from fsspec.implementations.local import LocalFileSystem
class Slow(LocalFileSystem):
    protocol = "slow"
    def put(self, *_, **__):
        pathlib.Path("../output/storing").touch()
        time.sleep(60)
"""


def run(pod: Pod, url: str, code: int = 0, **more: Any) -> tuple[int, dict[str, Any]]:
    """Exit code of the wrapper, and what it has told."""
    (pod.folder / "code" / "program.py").write_text(WRITES)
    output = str(pod.folder / "output")
    wrapper = pod.program("python3", "program.py", str(code), outputs=url, output=output, **more)
    wrapper.communicate(timeout=30)
    return wrapper.returncode, json.loads(pod.termination.read_text())


def test_all_files_are_there_when_its_end_is_told(pod: Pod, tmp_path: Path) -> None:
    there = tmp_path / "there" / "copper-heron"
    code, told = run(pod, f"file://{there}")
    assert (code, told["exit_code"]) == (0, 0)
    assert told["stored"] == {"url": f"file://{there}", "files": 2, "bytes": 7}
    assert (there / "deep" / "a.txt").read_text() == "one"


def test_program_that_fails_keeps_its_exit_code_and_its_files_are_stored(
    pod: Pod, tmp_path: Path
) -> None:
    code, told = run(pod, f"file://{tmp_path}/there", 3)
    assert (code, told["exit_code"], told["stored"]["files"]) == (3, 3, 2)


def test_other_file_systems_take_it_too(pod: Pod) -> None:
    assert run(pod, "memory://bucket/copper-heron")[1]["stored"]["files"] == 2


@pytest.mark.parametrize(("code", "ends_with"), [(0, 74), (3, 3)])
def test_what_cannot_be_stored_is_told_and_no_exit_code_is_made_good(
    pod: Pod, tmp_path: Path, code: int, ends_with: int
) -> None:
    there = tmp_path / "there"
    (there / "deep").mkdir(parents=True)
    (there / "deep" / "a.txt").mkdir()  # in the way
    status, told = run(pod, f"file://{there}", code)
    assert (status, told["exit_code"]) == (ends_with, code)
    assert "IsADirectoryError" in told["stored"]["lost"]
    assert f"file://{there}" in told["stored"]["lost"]


@pytest.mark.parametrize(
    ("url", "why"),
    [("nowhere://bucket", "Protocol not known: nowhere"), ("gs://bucket/x", "gcsfs")],
)
def test_program_does_not_start_when_its_output_could_not_be_stored(
    pod: Pod, url: str, why: str
) -> None:
    code, told = run(pod, url)
    assert (code, told["started_at"]) == (126, None)
    assert why in told["not_started"]
    assert not (pod.folder / "output" / "b.txt").exists()


def test_pod_that_goes_waits_until_what_its_program_left_is_taken(pod: Pod, tmp_path: Path) -> None:
    run(pod, f"file://{tmp_path}/there")
    log = str(layout.LOG)
    places = ("--port", "0", "--packages", str(layout.PACKAGES), "--secrets", str(layout.DOOR))
    files = pod.start("files", *places, "--log", log)
    assert files.stdout is not None
    files.stdout.readline()
    files.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        files.wait(0.5)
    fetch_folder(pod.run, "driver", layout.FILES, str(layout.OUTPUT), tmp_path / "here", log=log)
    assert files.wait(5) == 0


def test_pod_that_is_told_to_end_leaves_what_is_not_stored_in_time(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow.py").write_text(NEVER_ENDS)
    registers = "import fsspec; fsspec.register_implementation('slow', 'slow.Slow')"
    (tmp_path / "sitecustomize.py").write_text(registers)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    (pod.folder / "code" / "program.py").write_text(WRITES)
    here = {"outputs": f"slow://{tmp_path}/there", "output": str(pod.folder / "output")}
    wrapper = pod.program("python3", "program.py", "0", store_within_s=0.2, **here)
    pod.has("storing", b"")
    wrapper.send_signal(signal.SIGTERM)
    wrapper.communicate(timeout=20)
    assert "told to end" in json.loads(pod.termination.read_text())["stored"]["lost"]
