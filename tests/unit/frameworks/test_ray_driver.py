"""``ray.init`` as programs for a laptop spell it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.frameworks import bootstrap
from ebbtide.infra.frameworks.plan import TaskModules
from ebbtide.infra.frameworks.ray.driver import changed, with_modules
from ebbtide.infra.frameworks.ray.task_process import import_modules

OURS = "127.0.0.1:6379"


def init(
    address: str | None = None, *, num_cpus: int | None = None, namespace: str = "", **kwargs: Any
) -> dict[str, Any]:
    """What Ray is asked for."""
    return {"address": address, "num_cpus": num_cpus, "namespace": namespace, **kwargs}


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAY_ADDRESS", OURS)
    monkeypatch.delenv(bootstrap.BRIDGE, raising=False)
    monkeypatch.setenv(bootstrap.NOTES, str(tmp_path / "notes"))
    monkeypatch.setattr(bootstrap, "_said", set())
    return tmp_path / "notes"


@pytest.mark.parametrize(
    "given", [{"num_cpus": 4}, {"address": "auto", "num_cpus": 4}, {"_system_config": {"a": 1}}]
)
def test_what_only_a_new_cluster_takes_is_left_out_with_a_line(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str], notes: Path
) -> None:
    asked = changed(init, OURS)(**given, namespace="mine")
    assert asked == {"address": given.get("address"), "num_cpus": None, "namespace": "mine"}
    name = next(name for name in given if name != "address")
    assert capsys.readouterr().err == (
        f"ebb: ray.init({name}=…) connects to the cluster of this run:"
        " its size comes from --workers and --tier\n"
    )
    assert not notes.exists()


@pytest.mark.parametrize("given", [{}, {"num_cpus": None}, {"namespace": "mine"}])
def test_what_any_cluster_takes_passes_without_a_word(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert changed(init, OURS)(**given) == init(**given)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("address", ["local", "127.0.0.1:7777", "ray://elsewhere:10001"])
def test_another_ray_than_the_run_s_is_noted_and_as_it_was_asked_for(
    address: str, notes: Path
) -> None:
    assert changed(init, OURS)(address, num_cpus=4) == init(address, num_cpus=4)
    assert json.loads(notes.read_text()) == {
        "kind": "own-cluster",
        "what": f'its own Ray: ray.init(address="{address}")',
    }


def test_the_cluster_by_its_own_address_is_no_other(notes: Path) -> None:
    assert changed(init, OURS)("localhost:6379", num_cpus=4)["num_cpus"] is None
    assert not notes.exists()


def test_program_that_has_unset_the_address_has_its_own_ray(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS")
    assert changed(init, OURS)(num_cpus=4) == init(num_cpus=4)
    assert "own-cluster" in notes.read_text()


def test_bridge_leads_a_ray_of_its_own_to_the_cluster(
    notes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(bootstrap.BRIDGE, "1")
    assert changed(init, OURS)("local", num_cpus=4) == init(OURS)
    assert 'ray.init(address="local") is led to the cluster' in capsys.readouterr().err
    assert not notes.exists()


def test_a_wrong_call_fails_as_ray_has_it_fail() -> None:
    with pytest.raises(TypeError, match=r"init\(\)"):
        changed(init, OURS)(1, 2, 3)


MODULES = TaskModules(name="0a", argv=(sys.executable, "-c", ""), folders=("/run/ebb/modules/0a",))


def test_program_on_a_held_cluster_has_its_package_fetched_for_its_tasks() -> None:
    users = {"env_vars": {"MODE": "fast"}, "pip": []}
    asked = with_modules({"runtime_env": users}, MODULES.variables)["runtime_env"]
    assert asked.pop("worker_process_setup_hook").endswith("task_process.import_modules")
    assert asked == {"env_vars": {"MODE": "fast", **MODULES.variables}, "pip": []}
    assert users == {"env_vars": {"MODE": "fast"}, "pip": []}
    assert with_modules({"namespace": "mine"}, {}) == {"namespace": "mine"}


@pytest.mark.parametrize(
    "given", [{"job_config": object()}, {"runtime_env": {"worker_process_setup_hook": "mine.go"}}]
)
def test_program_with_a_setup_of_its_own_keeps_it_and_is_told(
    given: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert with_modules(given, MODULES.variables) == given
    assert "py_modules" in capsys.readouterr().err


def test_process_of_tasks_imports_from_the_package_or_says_why_it_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", ["/installed"])
    monkeypatch.setenv(*next(iter(MODULES.variables.items())))
    import_modules()
    assert sys.path == ["/run/ebb/modules/0a", "/installed"]
    gone = replace(MODULES, argv=(sys.executable, "-c", "raise SystemExit('nobody answers')"))
    monkeypatch.setenv(*next(iter(gone.variables.items())))
    import_modules()
    assert "did not come: nobody answers" in capsys.readouterr().err
