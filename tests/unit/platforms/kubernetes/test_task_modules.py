"""Code of programs and sessions on a cluster that was there before them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ebbtide.infra.frameworks.base import PodTemplates
from ebbtide.infra.frameworks.plan import task_modules_of
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.inside.told import program_settings, to_text
from ebbtide.infra.platforms.kubernetes.manifests.shipment import Shipment, task_modules
from ebbtide.infra.platforms.kubernetes.sessions import modules
from ebbtide.infra.platforms.kubernetes.shipping.package import pack
from ebbtide.infra.platforms.kubernetes.shipping.sending import send
from tests.clusters import cluster_spec, run_spec
from tests.unit.platforms.kubernetes.here import Pod

CLUSTER, DIGEST = ClusterId("held-1"), "0a" * 32
SPEC = replace(run_spec("held", cluster_spec("dask")), platform="kubernetes")


def project(folder: Path) -> Path:
    root = folder / "project"
    (root / "steps").mkdir(parents=True)
    (root / "mine.py").write_text("VALUE = 42\n")
    (root / "steps" / "train.py").write_text("import mine\n")
    return root


def variables(pod: Any) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in pod["spec"]["containers"][0]["env"]}


def test_program_of_a_held_cluster_has_its_code_from_the_head_and_tells_members_of_it(
    tmp_path: Path,
) -> None:
    root = project(tmp_path)
    job = JobSpec(argv=("python", "steps/train.py"), workdir=str(root))
    drawn = Blueprint.of(SPEC, CLUSTER, "team", "", templates=lambda *_: PodTemplates())
    pod = drawn.program("train", job, DIGEST)
    main = pod["spec"]["containers"][0]
    assert program_settings(main["args"][4]).code.store == "http://held-1-head:8789"
    told = task_modules_of(variables(pod))
    assert told is not None
    there = str(layout.MODULES / DIGEST)
    assert (told.name, told.folders) == (DIGEST, (there, f"{there}/steps"))
    in_image = drawn.program("hello", job, "")
    assert task_modules_of(variables(in_image)) is None


def test_package_comes_once_to_a_folder_of_its_own(pod: Pod, tmp_path: Path) -> None:
    package = pack(project(tmp_path), tmp_path / "made")
    places = ("--packages", str(layout.PACKAGES), "--secrets", str(layout.DOOR))
    store = pod.start("files", "--bind", "127.0.0.1", "--port", "0", *places)
    assert store.stdout is not None
    url = f"http://{store.stdout.readline().split()[-1].decode()}"
    send(pod.run, "head", package, unpacked=False)
    assert not list((pod.folder / "code").iterdir())
    there = tmp_path / "modules" / package.digest
    code = to_text(pod.code(digest=package.digest, store=url, folder=str(there)))
    several = [pod.start("begin.modules", code) for _ in range(2)]
    assert [each.wait(20) for each in several] == [0, 0]
    assert (there / "mine.py").read_text() == "VALUE = 42\n"
    assert list(there.parent.iterdir()) == [there]
    store.kill()
    assert pod.start("begin.modules", code).wait(20) == 0


def test_package_that_does_not_come_is_told_and_leaves_nothing(pod: Pod, tmp_path: Path) -> None:
    there = tmp_path / "modules" / DIGEST
    nobody = "http://127.0.0.1:9"
    code = pod.code(digest=DIGEST, store=nobody, folder=str(there), wait_s=0.1)
    fetching = pod.start("begin.modules", to_text(code))
    assert b"did not come" in fetching.communicate(timeout=20)[1]
    assert fetching.returncode == 1
    assert not list(there.parent.iterdir())


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(modules, "say", found.append)
    return found


def sent(pod: Pod, home: Path) -> Any:
    api: Any = SimpleNamespace(run=pod.run)
    return task_modules_of(modules.send_modules(api, SPEC, CLUSTER, "held-1-head", home))


def test_session_sends_the_current_folder_and_the_folders_in_it_that_it_imports_from(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    root = project(tmp_path)
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root / "steps"))
    told = sent(pod, tmp_path / "home")
    (package,) = (pod.folder / "packages").iterdir()
    there = str(layout.MODULES / package.name)
    assert (told.name, told.folders) == (package.name, (there, f"{there}/steps"))
    assert said == []


def test_session_in_a_folder_that_is_too_large_goes_on_and_is_told(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    root = project(tmp_path)
    monkeypatch.chdir(root)
    with (root / "data.bin").open("wb") as data:
        data.truncate(200 * 2**20)
    assert sent(pod, tmp_path / "home") is None
    assert len(said) == 1
    assert str(root) in said[0]
    assert "data.bin" in said[0]


def test_folder_of_a_session_is_its_scripts_and_that_of_a_tool_the_current(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = project(tmp_path) / "mine.py"
    main = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert modules.session_folder() == tmp_path
    main.__file__ = str(script)
    assert modules.session_folder() == script.parent
    main.__file__ = str(Path(sys.prefix) / "bin" / "jupyter")
    assert modules.session_folder() == tmp_path


def test_code_without_a_package_has_no_modules() -> None:
    assert task_modules(SPEC, CLUSTER, Shipment()) is None
